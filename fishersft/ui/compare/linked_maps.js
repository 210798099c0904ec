// Maps that share axes: where one is zoomed or panned, the others follow at once.  Streamlit keeps plotly to itself, so what
// moves a map is its own "reset axes" button, told other axes to go back to; where a later plotly has none, maps are not linked.
const LOOK = 300; // milliseconds between looks for maps that were drawn anew

export default function ({ data }) {
  const told = new WeakMap(); // what each map was last moved to by us, so that its echo moves nobody
  const maps = () => [...document.querySelectorAll(`[class*="st-key-${data.prefix}"] .js-plotly-plot`)].filter((g) => g._fullLayout?.xaxis);
  const view = (map) => ["xaxis", "yaxis"].map((axis) => [...map._fullLayout[axis].range]);
  const same = (a, b) => a.every((side, k) => side.every((v, i) => Math.abs(v - b[k][i]) < 1e-6 * Math.abs(b[k][1] - b[k][0])));
  const move = (map, to) => {
    const button = map._fullLayout._modeBar?.buttons.flat().find((b) => b.name === "resetScale2d");
    if (!button || same(view(map), to)) return;
    told.set(map, to);
    const axes = ["xaxis", "yaxis"].map((axis) => map._fullLayout[axis]);
    const home = axes.map((axis) => [axis._rangeInitial0, axis._rangeInitial1]);
    const set = (to) => axes.forEach((axis, k) => ([axis._rangeInitial0, axis._rangeInitial1] = to[k]));
    set(to);
    button.click(map, { currentTarget: { getAttribute: (name) => (name === "data-attr" ? "zoom" : "reset") } });
    set(home);
    ["xaxis", "yaxis"].forEach((axis, k) => ([map._fullLayout[axis]._rangeInitial0, map._fullLayout[axis]._rangeInitial1] = home[k]));
  };
  const homeOf = (map) => ["xaxis", "yaxis"].map((axis) => [map._fullLayout[axis]._rangeInitial0, map._fullLayout[axis]._rangeInitial1]);
  let last = null; // where the maps were last looked at, and from which home: all may be drawn anew at once
  const follow = (leader) => {
    const to = view(leader);
    last = { home: homeOf(leader), to };
    if (told.has(leader) && same(told.get(leader), to)) return;
    told.set(leader, to);
    for (const map of maps()) if (map !== leader) move(map, to);
  };
  const known = new Map();
  const attach = () => {
    for (const map of maps()) {
      if (known.has(map)) continue;
      const first = [...known.keys()].find((other) => other.isConnected && other._fullLayout);
      let frame = 0;
      const moved = () => {
        cancelAnimationFrame(frame);
        frame = requestAnimationFrame(() => follow(map));
      };
      known.set(map, moved);
      for (const event of ["plotly_relayout", "plotly_relayouting"]) map.on(event, moved);
      if (first) move(map, view(first)); // one that was drawn anew looks where the others do
      else if (last && same(homeOf(map), last.home)) move(map, last.to);
    }
    for (const map of known.keys()) if (!map.isConnected) known.delete(map);
  };
  attach();
  const timer = setInterval(attach, LOOK);
  return () => {
    clearInterval(timer);
    for (const [map, moved] of known) for (const event of ["plotly_relayout", "plotly_relayouting"]) map.removeListener?.(event, moved);
  };
}
