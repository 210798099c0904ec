// The presenter's view, one key a step: keys press its buttons.  What text is typed into keeps its keys, and so does
// a control that was reached by Tab; what was clicked does not.
const BUTTONS = {
  ArrowRight: "next", PageDown: "next", ArrowLeft: "back", PageUp: "back", Enter: "reveal", r: "reveal", R: "reveal", Escape: "leave",
};
const TYPED = "textarea, select, [contenteditable], [role=combobox], input:not([type=range], [type=radio], [type=checkbox])";
const CONTROLS = "input, button, a, [role=slider], .point";
let tabbed = false; // Tab moved last, and no pointer since

export default function () {
  const press = (event) => {
    if (event.key === "Tab") tabbed = true;
    const at = event.composedPath()[0], name = BUTTONS[event.key];
    if (!name || event.ctrlKey || event.metaKey || event.altKey || at.closest?.(TYPED) || (tabbed && at.closest?.(CONTROLS))) return;
    const button = document.querySelector(`.st-key-present-${name} button`);
    if (!button) return;
    event.preventDefault();
    event.stopPropagation();
    if (!button.disabled) button.click();
  };
  const point = () => { tabbed = false; };
  window.addEventListener("keydown", press, true);
  window.addEventListener("pointerdown", point, true);
  return () => {
    window.removeEventListener("keydown", press, true);
    window.removeEventListener("pointerdown", point, true);
  };
}
