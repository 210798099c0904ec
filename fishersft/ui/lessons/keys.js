// The presenter's view, one key a step: keys press its buttons.  A control that was reached by keyboard keeps its own keys.
const BUTTONS = {
  ArrowRight: "next", PageDown: "next", ArrowLeft: "back", PageUp: "back", Enter: "reveal", r: "reveal", R: "reveal", Escape: "leave",
};
const CONTROLS = "input, textarea, select, button, a, [role=slider], [role=combobox], [contenteditable], .point";

export default function () {
  const press = (event) => {
    const at = event.composedPath()[0], name = BUTTONS[event.key];
    if (!name || event.ctrlKey || event.metaKey || event.altKey || at.closest?.(CONTROLS)) return;
    const button = document.querySelector(`.st-key-present-${name} button`);
    if (!button) return;
    event.preventDefault();
    event.stopPropagation();
    if (!button.disabled) button.click();
  };
  const letGo = () => setTimeout(() => document.activeElement?.closest?.("[role=slider], button, input[type=radio], input[type=range]")?.blur(), 50);
  window.addEventListener("keydown", press, true);
  window.addEventListener("pointerup", letGo, true); // what was clicked does not take the next key
  return () => {
    window.removeEventListener("keydown", press, true);
    window.removeEventListener("pointerup", letGo, true);
  };
}
