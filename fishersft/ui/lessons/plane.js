// Points in the plane to drag, weight, add and remove.  While a point is held, the ellipse and the two numbers under it follow
// here; when it rests, the server gets the `points` and computes everything else.  With a `cloud` the one point is a target: its
// rows and their second moment move with it, and V is that of the picks.
const SVG = "http://www.w3.org/2000/svg";
const STEP = 0.05, GREAT = 0.25; // of the plane: what a drag snaps to, and an arrow key with Shift
const CLICK = 4; // pixels within which a press is a click
const REST = 350; // milliseconds from the last key until the server gets the points
const SPIKES = { star: 5, "star-diamond": 4, "star-square": 4 }; // of a marker
const TARGET_HINT = "Drag the target, click where it should be, or Tab to it and press the arrow keys.";
const planes = new WeakMap();

export default function (component) {
  const { data, parentElement, setStateValue } = component;
  let plane = planes.get(parentElement);
  if (!plane) {
    plane = make(parentElement);
    planes.set(parentElement, plane);
  }
  plane.tell = (points) => setStateValue("points", points);
  plane.show(data);
  return () => {
    plane.watcher.disconnect();
    planes.delete(parentElement);
  };
}

function make(root) {
  const svg = root.querySelector("svg"), said = root.querySelector(".said");
  const plane = { data: null, points: [], tell: () => {}, show };
  let side = 0, held = null, rest = 0, focused = -1;

  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const snap = (value, step = STEP) => Math.round(clamp(value, -plane.data.reach, plane.data.reach) / step) * step;
  const round = (value) => Math.round(value * 1000) / 1000;
  const three = (value) => String(Number(value.toPrecision(3)));
  const px = (x) => ((x + plane.data.reach) / (2 * plane.data.reach)) * side;
  const py = (y) => side - px(y);
  const here = (event) => {
    const box = svg.getBoundingClientRect(), scale = (2 * plane.data.reach) / box.width;
    return [(event.clientX - box.left) * scale - plane.data.reach, plane.data.reach - (event.clientY - box.top) * scale];
  };
  const put = (parent, name, attributes, text) => {
    const node = document.createElementNS(SVG, name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text !== undefined) node.textContent = text;
    return parent.appendChild(node);
  };

  // V = sigma2 I + sum of w x x^T, as [a, b, c] of [[a, b], [b, c]]
  const design = (points) => points.reduce(
    ([a, b, c], [x, y, w]) => [a + w * x * x, b + w * x * y, c + w * y * y], [plane.data.sigma2, 0, plane.data.sigma2]);
  const current = () => plane.data.cloud ? plane.data.design : design(plane.points);
  const inverse = ([a, b, c]) => [c, -b, a].map((value) => value / (a * c - b * b));
  const aim = () => { // the target's second moment
    const { cloud, ridge } = plane.data, [x, y] = plane.points[0];
    const rows = cloud.map(([u, v]) => [x + u, y + v]);
    const [a, b, c] = rows.reduce(([a, b, c], [u, v]) => [a + u * u, b + u * v, c + v * v], [0, 0, 0]).map((sum) => sum / rows.length);
    return [a + (ridge * (a + c)) / 2, b, c + (ridge * (a + c)) / 2];
  };
  const halfAxes = ([a, b, c], level = plane.data.level) => {
    const middle = (a + c) / 2, spread = Math.hypot((a - c) / 2, b);
    return [middle - spread, middle + spread].map((value) => Math.sqrt(level / value));
  };
  const ellipse = ([a, b, c], level = plane.data.level) => { // {t : t^T V t = level}, the long axis turned by `angle`
    const [long, short] = halfAxes([a, b, c], level), angle = 0.5 * Math.atan2(2 * b, a - c) + Math.PI / 2;
    const path = [];
    for (let k = 0; k <= 120; k++) {
      const t = (2 * Math.PI * k) / 120, u = long * Math.cos(t), v = short * Math.sin(t);
      path.push(`${px(u * Math.cos(angle) - v * Math.sin(angle)).toFixed(1)},${py(u * Math.sin(angle) + v * Math.cos(angle)).toFixed(1)}`);
    }
    return path.join(" ");
  };
  const shape = (x, y, marker) => { // plotly's circle and stars
    if (!(marker in SPIKES)) return `M${x - 5} ${y}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0`;
    const n = 2 * SPIKES[marker], turned = marker === "star-square" ? Math.PI / 4 : 0, corner = (k) => {
      const r = k % 2 ? 3.5 : 8, angle = (2 * Math.PI * k) / n - Math.PI / 2 + turned;
      return `${x + r * Math.cos(angle)} ${y + r * Math.sin(angle)}`;
    };
    return `M${Array.from({ length: n }, (_, k) => corner(k)).join("L")}Z`;
  };
  const leverage = (x, y) => {
    const [a, b, c] = current();
    return (c * x * x - 2 * b * x * y + a * y * y) / (a * c - b * b);
  };
  const tellNumbers = (place) => {
    const V = current(), [long, short] = halfAxes(V);
    if (plane.data.cloud) {
      const M = aim(), [a, b, c] = inverse(V), mean = three(M[0] * a + 2 * M[1] * b + M[2] * c);
      const here = place && plane.data.told ? `; at (${three(round(place[0]))}, ${three(round(place[1]))}) ${three(leverage(...place))}` : "";
      said.textContent = `mean variance on the target with these picks: ${plane.data.told ? mean : "with the answer"}${here}`;
      return;
    }
    const f = Math.log(V[0] * V[2] - V[1] * V[1]) - 2 * Math.log(plane.data.sigma2);
    const at = place ? `; at (${three(round(place[0]))}, ${three(round(place[1]))}) leverage ${three(leverage(...place))}` : "";
    said.textContent = `log det gained ${three(f)} nats, half axes ${three(long)} and ${three(short)}${at}`;
  };

  function show(data) {
    plane.data = data;
    if (!held) plane.points = data.points.map((p) => [...p]);
    svg.setAttribute("aria-label", data.alt);
    if (data.cloud) root.querySelector(".hint").textContent = TARGET_HINT;
    draw();
  }

  const draw = () => {
    const d = plane.data, c = d.colours, V = current();
    const at = focused; // redrawing takes the focus away
    side = Math.max(160, Math.min(svg.clientWidth || 480, 544));
    svg.setAttribute("viewBox", `0 0 ${side} ${side}`);
    svg.replaceChildren();
    const clip = put(put(svg, "defs", {}), "clipPath", { id: "inside" });
    put(clip, "rect", { width: side, height: side });
    for (let k = -d.reach; k <= d.reach; k++) {
      const strong = k === 0 ? 1.6 : 0.8;
      put(svg, "line", { x1: px(k), x2: px(k), y1: 0, y2: side, stroke: c.grid, "stroke-width": strong });
      put(svg, "line", { y1: py(k), y2: py(k), x1: 0, x2: side, stroke: c.grid, "stroke-width": strong });
      if (k !== 0 && Math.abs(k) < d.reach) {
        put(svg, "text", { class: "quiet", x: px(k), y: py(0) + 15, "text-anchor": "middle" }, String(k).replace("-", "−"));
        put(svg, "text", { class: "quiet", x: px(0) - 6, y: py(k) + 4, "text-anchor": "end" }, String(k).replace("-", "−"));
      }
    }
    put(svg, "text", { class: "quiet", x: side - 8, y: side - 9, "text-anchor": "end" }, "first coordinate of a row →");
    put(svg, "text", { class: "quiet", x: px(0) + 6, y: 14 }, "↑ second coordinate");
    const inside = put(svg, "g", { "clip-path": "url(#inside)" });
    for (const [x, y] of d.sentences || []) put(inside, "circle", { cx: px(x), cy: py(y), r: 2.5, fill: c.quiet, "fill-opacity": 0.6 });
    if (d.cloud) {
      put(inside, "polyline", { class: "wanted", points: ellipse(inverse(aim()), 1), fill: "none", stroke: c.target, "stroke-width": 2, "stroke-dasharray": "6 4" });
      put(inside, "polyline", { points: ellipse(inverse(d.moment), 1), fill: "none", stroke: c.point, "stroke-width": 2 });
    } else put(inside, "polyline", { points: ellipse([d.sigma2, 0, d.sigma2]), fill: "none", stroke: c.quiet, "stroke-width": 1.5, "stroke-dasharray": "2 4" });
    put(inside, "polyline", { class: "region", points: ellipse(V), fill: c.point, "fill-opacity": 0.12, stroke: c.point, "stroke-width": 2 });
    for (const [x, y] of d.picks || []) put(svg, "path", { class: "pick", d: shape(px(x), py(y), d.marker), fill: c.point, stroke: c.edge });
    for (const [u, v] of d.cloud || []) {
      const [x, y] = [px(plane.points[0][0] + u), py(plane.points[0][1] + v)];
      put(svg, "path", { d: `M${x - 3} ${y}h6M${x} ${y - 3}v6`, stroke: c.target, "stroke-width": 1.5 });
    }
    for (const [x, y, text] of d.candidates) {
      const [u, v] = [px(x), py(y)];
      put(svg, "path", { d: `M${u} ${v - 8}L${u + 8} ${v}L${u} ${v + 8}L${u - 8} ${v}Z`, fill: "none", stroke: c.candidate, "stroke-width": 2.5 });
      put(svg, "text", { x: u, y: v - 13, "text-anchor": "middle" }, text);
    }
    plane.points.forEach(([x, y, w], k) => {
      const node = put(svg, "g", { class: "point", tabindex: 0, role: "button", transform: `translate(${px(x)} ${py(y)})` });
      node.setAttribute("aria-label", d.cloud ? `The target: ${three(x)}, ${three(y)}. Arrow keys move it.` : `Point ${k + 1} of ${plane.points.length}: ${three(x)}, ${three(y)}, weight ${three(w)}. Arrow keys move it, plus and minus change its weight, Delete removes it.`);
      const r = 3.5 + 2.5 * Math.sqrt(Math.min(w, 16));
      put(node, "circle", { r: Math.max(16, r + 6), fill: "transparent" }); // room for a finger
      put(node, "circle", { class: "ring", r: r + 5, fill: "none", stroke: c.ink, "stroke-width": 2 });
      put(node, "circle", { r, fill: d.cloud ? c.target : c.point, "fill-opacity": 0.9, stroke: c.ink, "stroke-width": 1.5 });
      if (d.cloud) put(node, "circle", { r: r + 5, fill: "none", stroke: c.target, "stroke-width": 2 });
      node.addEventListener("pointerdown", (event) => hold(event, k));
      node.addEventListener("keydown", (event) => keyed(event, k));
      node.addEventListener("focus", () => { focused = k; });
      node.addEventListener("blur", () => { focused = -1; });
      if (held && held.k === k) node.classList.add("held");
    });
    if (at >= 0 && !held) svg.querySelectorAll(".point")[Math.min(at, plane.points.length - 1)]?.focus({ preventScroll: true });
    tellNumbers(held && held.k >= 0 ? plane.points[held.k] : null);
  };
  const settle = (delay = 0) => {
    clearTimeout(rest);
    rest = setTimeout(() => plane.tell(plane.points.map((p) => p.map(round))), delay);
  };

  const hold = (event, k) => {
    event.preventDefault();
    event.stopPropagation();
    held = { k, x: event.clientX, y: event.clientY, moved: false };
    svg.setPointerCapture(event.pointerId);
  };
  svg.addEventListener("pointerdown", (event) => {
    held = { k: -1, x: event.clientX, y: event.clientY, moved: false };
  });
  svg.addEventListener("pointermove", (event) => {
    if (!plane.data) return;
    if (!held) return tellNumbers(here(event).map((value) => snap(value)));
    held.moved ||= Math.hypot(event.clientX - held.x, event.clientY - held.y) > CLICK;
    if (held.k < 0 || !held.moved) return;
    const [x, y] = here(event);
    plane.points[held.k] = [snap(x), snap(y), plane.points[held.k][2]];
    draw();
  });
  svg.addEventListener("pointerup", (event) => {
    const was = held;
    held = null;
    if (!was) return;
    if (was.k >= 0 && was.moved) return draw(), settle();
    if (!was.moved) click(was.k, here(event).map((value) => snap(value)));
  });
  svg.addEventListener("touchstart", (event) => { // a finger on a point drags the point, not the page
    if (event.target.closest(".point")) event.preventDefault();
  }, { passive: false });
  svg.addEventListener("pointercancel", () => { held = null; });
  svg.addEventListener("pointerleave", () => { if (plane.data && !held) tellNumbers(null); });

  const click = (k, [x, y]) => {
    const d = plane.data, near = k >= 0 ? k : nearest(x, y);
    if (d.act === "add") {
      if (k >= 0) weigh(k, plane.points[k][2] + 1);
      else if (plane.points.length < d.most) plane.points.push([x, y, 1]);
    } else if (near >= 0) {
      if (d.act === "remove the nearest") plane.points.splice(near, 1);
      else plane.points[near] = [x, y, plane.points[near][2]];
    }
    draw();
    settle();
  };
  const nearest = (x, y) => {
    let best = -1, least = Infinity;
    plane.points.forEach(([px, py], k) => {
      const far = Math.hypot(px - x, py - y);
      if (far < least) [best, least] = [k, far];
    });
    return best;
  };
  const weigh = (k, w) => { plane.points[k][2] = round(clamp(w, plane.data.weights[0], plane.data.weights[1])); };
  const keyed = (event, k) => {
    const step = event.shiftKey ? GREAT : STEP, p = plane.points[k];
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (way) [p[0], p[1]] = [snap(p[0] + way[0] * step), snap(p[1] + way[1] * step)];
    else if (plane.data.cloud) return;
    else if (event.key === "+" || event.key === "=") weigh(k, p[2] + 1);
    else if (event.key === "-") weigh(k, p[2] > 1 ? p[2] - 1 : p[2] / 2);
    else if (event.key === "Delete" || event.key === "Backspace") plane.points.splice(k, 1);
    else return;
    event.preventDefault();
    draw();
    settle(REST);
  };

  plane.watcher = new ResizeObserver(() => { if (plane.data && !held) draw(); });
  plane.watcher.observe(svg);
  return plane;
}
