// Help marks stand beside nearly every control, so Tab passes them by, until they are asked for: by the button that is the page's
// first Tab stop, or by the key "?" where no text is typed, which goes to the next mark at once.
const MARKS = '[data-testid="stTooltipIcon"] button';

export default function ({ parentElement }) {
  const button = parentElement.querySelector("button");
  let on = false;
  const apply = () => {
    for (const mark of document.querySelectorAll(MARKS)) if (mark.tabIndex !== (on ? 0 : -1)) mark.tabIndex = on ? 0 : -1;
    button.setAttribute("aria-pressed", on);
  };
  const toggle = () => { on = !on; apply(); };
  const pressed = (event) => {
    if (event.key !== "?" || event.target.closest?.("input:not([type=range]), textarea, [contenteditable]")) return;
    toggle();
    const here = event.target;
    const next = [...document.querySelectorAll(MARKS)].find((mark) => here.compareDocumentPosition(mark) & Node.DOCUMENT_POSITION_FOLLOWING);
    if (on) next?.focus();
  };
  button.onclick = toggle;
  document.addEventListener("keydown", pressed);
  const watcher = new MutationObserver(apply);
  watcher.observe(document.body, { subtree: true, childList: true });
  apply();
  return () => {
    watcher.disconnect();
    document.removeEventListener("keydown", pressed);
  };
}
