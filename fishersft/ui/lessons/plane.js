// Points in a plane of rows to drag, and beside it, where a lesson has one, the plane of coefficients with the ellipse of what is
// still uncertain.  While a point is held, everything here follows it; when it rests, the server gets the `points` and computes
// the rest.  With a `line` the points are measurements that move along x only: (x, noise, weight), and a row is (1, x).
const SVG = "http://www.w3.org/2000/svg";
const STEP = 0.05, GREAT = 0.25; // of the plane: what a drag snaps to, and an arrow key with Shift
const CLICK = 4; // pixels within which a press is a click
const REST = 350; // milliseconds from the last key until the server gets the points
const SPIKES = { star: 5, diamond: 2, "star-diamond": 4, "star-square": 4, hexagram: 6 }; // of a marker
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

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const round = (value) => Math.round(value * 1000) / 1000;
const three = (value) => String(Number(value.toPrecision(3))).replace("-", "−");
const put = (parent, name, attributes, text) => {
  const node = document.createElementNS(SVG, name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  if (text !== undefined) node.textContent = text;
  return parent.appendChild(node);
};

// A symmetric matrix [[a, b], [b, c]] is [a, b, c].
const plus = ([a, b, c], [x, y], w = 1) => [a + w * x * x, b + w * x * y, c + w * y * y];
const inverse = ([a, b, c]) => [c, -b, a].map((value) => value / (a * c - b * b));
const form = ([a, b, c], [x, y]) => a * x * x + 2 * b * x * y + c * y * y; // (x, y) A (x, y)^T
const solvable = ([a, b, c]) => a * c - b * b > 1e-9;
const halfAxes = ([a, b, c], level) => { // of {t : t^T A t = level}, the longer first
  const middle = (a + c) / 2, spread = Math.hypot((a - c) / 2, b);
  return [middle - spread, middle + spread].map((value) => Math.sqrt(level / value));
};
const ellipse = (A, level) => {
  const [a, b, c] = A, [long, short] = halfAxes(A, level), angle = 0.5 * Math.atan2(2 * b, a - c) + Math.PI / 2;
  return Array.from({ length: 121 }, (_, k) => {
    const t = (2 * Math.PI * k) / 120, u = long * Math.cos(t), v = short * Math.sin(t);
    return [u * Math.cos(angle) - v * Math.sin(angle), u * Math.sin(angle) + v * Math.cos(angle)];
  });
};
const shape = (x, y, marker, size = 1) => { // plotly's markers
  const r = 6 * size;
  if (marker === "square") return `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}Z`;
  if (marker === "cross") return `M${x - r} ${y}h${2 * r}M${x} ${y - r}v${2 * r}`;
  if (marker === "line") return `M${x - 8} ${y}h16`;
  if (!(marker in SPIKES)) return `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`;
  const n = 2 * SPIKES[marker], turned = marker === "star-square" ? Math.PI / 4 : 0, corner = (k) => {
    const far = (marker === "diamond" ? 8 : k % 2 ? 3.5 : 8) * size, angle = (2 * Math.PI * k) / n - Math.PI / 2 + turned;
    return `${x + far * Math.cos(angle)} ${y + far * Math.sin(angle)}`;
  };
  return `M${Array.from({ length: n }, (_, k) => corner(k)).join("L")}Z`;
};

function make(root) {
  const rows = root.querySelector("svg.rows"), theta = root.querySelector("svg.theta"), said = root.querySelector(".said");
  const names = root.querySelectorAll(".name"), legend = root.querySelector(".legend"), hint = root.querySelector(".hint");
  const plane = { data: null, points: [], tell: () => {}, show };
  let held = null, rest = 0, focused = -1;

  const snap = (value, step = STEP) => round(Math.round(clamp(value, -plane.data.reach, plane.data.reach) / step) * step);
  const scale = (svg, right, up) => {
    const side = clamp(svg.clientWidth || 400, 160, 640);
    svg.setAttribute("viewBox", `0 0 ${side} ${side}`);
    const to = ([x, y]) => [(side * (x + right)) / (2 * right), (side * (up - y)) / (2 * up)];
    return { side, right, up, to, path: (all) => all.map((p) => to(p).map((n) => n.toFixed(1)).join(",")).join(" ") };
  };
  const here = (event) => {
    const box = rows.getBoundingClientRect(), d = plane.data, up = d.line ? d.line.up : d.reach;
    return [((event.clientX - box.left) / box.width) * 2 * d.reach - d.reach, up - ((event.clientY - box.top) / box.height) * 2 * up];
  };

  // What the points are.
  const rowOf = ([x, y]) => plane.data.line ? [1, x] : [x, y];
  const seenAt = ([x, y]) => plane.data.line ? [x, truth(x) + plane.data.line.noise * y] : [x, y];
  const truth = (x) => plane.data.line.truth[0] + plane.data.line.truth[1] * x;
  const design = (more = []) => { // V of the points and of more rows; of the server's rows alone where it does not follow them
    const d = plane.data, prior = [...d.prior];
    const mine = d.follows ? plane.points.reduce((V, p) => plus(V, rowOf(p), p[2]), prior) : prior;
    const V = more.reduce((V, row) => plus(V, row), mine);
    return d.line ? V.map((value) => value / d.line.noise ** 2) : V;
  };
  const fitted = () => { // the least-squares line: intercept and slope
    const [a, b, c] = plane.points.reduce((V, p) => plus(V, rowOf(p), p[2]), [0, 0, 0]);
    const [u, v] = plane.points.reduce(([u, v], p) => { const [x, y] = seenAt(p); return [u + p[2] * y, v + p[2] * x * y]; }, [0, 0]);
    const det = a * c - b * b;
    return [(c * u - b * v) / det, (a * v - b * u) / det];
  };
  const aim = () => { // the target's second moment
    const { cloud, ridge } = plane.data, [x, y] = plane.points[0];
    const [a, b, c] = cloud.reduce((M, [u, v]) => plus(M, [x + u, y + v], 1 / cloud.length), [0, 0, 0]);
    return [a + (ridge * (a + c)) / 2, b, c + (ridge * (a + c)) / 2];
  };
  const moved = (k, x, y) => {
    const d = plane.data, p = plane.points[k];
    if (d.line) return [snap(x), p[1], p[2]];
    if (!d.ring) return [snap(x), snap(y), p[2]];
    const far = Math.hypot(x, y) || 1;
    return [round((d.ring * x) / far), round((d.ring * y) / far), p[2]];
  };

  const tellNumbers = (at) => {
    const d = plane.data, V = design();
    const where = at ? `; at (${three(round(at[0]))}, ${three(round(at[1]))})` : "";
    if (d.line) {
      if (!solvable(V)) { said.textContent = "The slope needs measurements at two different x."; return; }
      const [a, b] = fitted(), C = inverse(V), bar = (value) => three(1.96 * Math.sqrt(value));
      said.textContent = `slope ${three(b)} ± ${bar(C[2])}, intercept ${three(a)} ± ${bar(C[0])}`;
    } else if (d.cloud.length) {
      const M = aim(), [a, b, c] = inverse(V), mean = three(M[0] * a + 2 * M[1] * b + M[2] * c);
      said.textContent = `mean variance on the target with these picks: ${d.told ? mean : "with the answer"}`;
    } else if (d.around) {
      const worst = Math.max(...plane.points.map((p) => form(inverse(V), p))) * (2 / d.around);
      said.textContent = `worst leverage ${three(worst)} with these weights`;
    } else if (d.follows) {
      const f = Math.log(V[0] * V[2] - V[1] * V[1]) - Math.log(d.prior[0] * d.prior[2] - d.prior[1] ** 2);
      const [long, short] = halfAxes(V, d.level);
      said.textContent = `log det gained ${three(f)} nats, half axes ${three(long)} and ${three(short)}${where}`
        + (at ? ` a prediction has variance ${three(form(inverse(V), at))}` : "");
    } else {
      const [x, y] = plane.points[0];
      const angle = Math.round((Math.atan2(y, x) * 180) / Math.PI);
      said.textContent = `${d.names[0]}: length ${three(Math.hypot(x, y))}, ${String(angle).replace("-", "−")}° from the first axis`;
    }
  };

  function show(data) {
    plane.data = data;
    if (!held) plane.points = data.points.map((p) => [...p]);
    root.querySelector(".plane").classList.toggle("large", data.large);
    rows.setAttribute("aria-label", data.alt);
    theta.parentElement.hidden = !data.theta;
    names[0].textContent = data.title;
    names[1].textContent = data.theta ? data.theta.title : "";
    hint.textContent = data.hint;
    draw();
  }

  const axes = (svg, s, across, upwards) => {
    const c = plane.data.colours, clip = put(put(svg, "defs", {}), "clipPath", { id: `inside-${svg.classList[0]}` });
    put(clip, "rect", { width: s.side, height: s.side });
    const step = Math.max(s.right, s.up) > 4.5 ? 2 : Math.min(s.right, s.up) <= 1.5 ? 0.5 : 1, [x0, y0] = s.to([0, 0]);
    const each = (reach) => Array.from({ length: 2 * Math.floor(reach / step) + 1 }, (_, k) => (k - Math.floor(reach / step)) * step);
    for (const k of each(s.right)) {
      const [x] = s.to([k, 0]);
      put(svg, "line", { x1: x, x2: x, y1: 0, y2: s.side, stroke: c.grid, "stroke-width": k === 0 ? 1.6 : 0.8 });
      if (k && x > 14 && x < s.side - 14) put(svg, "text", { class: "quiet", x, y: y0 + 15, "text-anchor": "middle" }, three(k));
    }
    for (const k of each(s.up)) {
      const [, y] = s.to([0, k]);
      put(svg, "line", { y1: y, y2: y, x1: 0, x2: s.side, stroke: c.grid, "stroke-width": k === 0 ? 1.6 : 0.8 });
      if (k && y > 14 && y < s.side - 14) put(svg, "text", { class: "quiet", x: x0 - 6, y: y + 4, "text-anchor": "end" }, three(k));
    }
    const low = plane.data.candidates.some((p) => p[1] < -s.up + 0.5) && svg === rows ? y0 - 7 : s.side - 8; // clear of places there
    put(svg, "text", { class: "quiet", x: s.side - 6, y: low, "text-anchor": "end" }, `${across} →`);
    put(svg, "text", { class: "quiet", x: x0 + 6, y: 14 }, `↑ ${upwards}`);
    return put(svg, "g", { "clip-path": `url(#inside-${svg.classList[0]})` });
  };
  const outline = (inside, s, points, look) => put(inside, "polyline", { points: s.path(points), fill: "none", "stroke-width": 2, ...look });

  const drawLine = (inside, s) => { // the fitted line with its band, and the true line
    const d = plane.data, c = d.colours, xs = Array.from({ length: 61 }, (_, k) => -d.reach + (k * d.reach) / 30), V = design();
    outline(inside, s, [-d.reach, d.reach].map((x) => [x, truth(x)]), { stroke: c.quiet, "stroke-dasharray": "2 4" });
    if (!solvable(V)) return;
    const [a, b] = fitted(), band = (V, sign) => xs.map((x) => [x, a + b * x + sign * 1.96 * Math.sqrt(form(inverse(V), [1, x]))]);
    const more = d.candidates.length && d.best >= 0 ? design([[1, d.candidates[d.best][0]]]) : null;
    outline(inside, s, [...band(V, 1), ...band(V, -1).reverse()], { class: "region", fill: c.point, "fill-opacity": 0.14, stroke: "none" });
    if (more) for (const sign of [1, -1]) outline(inside, s, band(more, sign), { stroke: c.candidate, "stroke-dasharray": "6 4" });
    outline(inside, s, [-d.reach, d.reach].map((x) => [x, a + b * x]), { stroke: c.point });
  };

  const drawTheta = () => {
    const d = plane.data, c = d.colours, V = design();
    theta.replaceChildren();
    if (!d.theta) return;
    const s = scale(theta, d.theta.reach, d.theta.reach), inside = axes(theta, s, d.theta.across, d.theta.upwards);
    theta.setAttribute("aria-label", d.theta.alt);
    if (solvable(d.prior) && halfAxes(d.prior, d.level)[0] < 1.3 * s.right) outline(inside, s, ellipse(d.prior, d.level), { stroke: c.quiet, "stroke-width": 1.5, "stroke-dasharray": "2 4" });
    if (!solvable(V)) return;
    outline(inside, s, ellipse(V, d.level), { class: d.line ? "" : "region", fill: c.point, "fill-opacity": 0.14, stroke: c.point });
    for (const [k, colour, dash] of d.theta.after) {
      const more = Array(d.theta.copies).fill(rowOf(d.candidates[k]));
      outline(inside, s, ellipse(design(more), d.level), { stroke: c[colour], "stroke-dasharray": dash });
    }
    if (d.line) { // the slope's error bar: the ellipse's shadow on the upright axis
      const bar = 1.96 * Math.sqrt(inverse(V)[2]), [x, y] = s.to([0, bar]), [, low] = s.to([0, -bar]);
      put(inside, "path", { d: `M${x} ${y}V${low}M${x - 6} ${y}h12M${x - 6} ${low}h12`, stroke: c.target, "stroke-width": 3 });
    }
  };

  const draw = () => {
    const d = plane.data, c = d.colours;
    const at = focused; // redrawing takes the focus away
    rows.replaceChildren();
    const s = scale(rows, d.reach, d.line ? d.line.up : d.reach), inside = axes(rows, s, d.across, d.upwards);
    for (const p of d.dots) { const [cx, cy] = s.to(p); put(inside, "circle", { cx, cy, r: 2.5, fill: c.quiet, "fill-opacity": 0.6 }); }
    for (const [curve, colour, dash] of d.curves) outline(inside, s, curve, { stroke: c[colour], "stroke-dasharray": dash });
    if (d.line) drawLine(inside, s);
    if (d.around && solvable(design())) outline(inside, s, ellipse(inverse(design()), d.around), { class: "region", stroke: c.target });
    if (d.cloud.length) outline(inside, s, ellipse(inverse(aim()), 1), { class: "wanted", stroke: c.target, "stroke-dasharray": "6 4" });
    for (const mark of d.marks) for (const p of mark.places) {
      const look = mark.open ? { fill: "none", stroke: c[mark.colour], "stroke-width": 2 } : { fill: c[mark.colour], stroke: c.edge };
      put(inside, "path", { class: "pick", d: shape(...s.to(p), mark.marker, mark.size), ...look });
    }
    for (const [u, v] of d.cloud) {
      const p = s.to([plane.points[0][0] + u, plane.points[0][1] + v]);
      put(inside, "path", { d: shape(...p, "cross", 0.5), stroke: c.target, "stroke-width": 1.5 });
    }
    for (const [x, y, text] of d.arrows) arrow(inside, s, [x, y], text, c.ink);
    d.candidates.forEach(([x, y, text]) => {
      const p = s.to([x, y]);
      put(rows, "path", { d: shape(...p, "diamond"), fill: "none", stroke: c.candidate, "stroke-width": 2.5 });
      const end = p[0] > s.side - 50 ? "end" : p[0] < 50 ? "start" : "middle"; // its words stay inside
      put(rows, "text", { x: clamp(p[0] + (end === "end" ? 8 : end === "start" ? -8 : 0), 4, s.side - 4), y: p[1] - 13, "text-anchor": end }, text);
    });
    plane.points.forEach((p, k) => handle(s, p, k));
    if (at >= 0 && !held) rows.querySelectorAll(".point")[Math.min(at, plane.points.length - 1)]?.focus({ preventScroll: true });
    drawTheta();
    drawLegend();
    tellNumbers(held && held.k >= 0 ? plane.points[held.k] : null);
  };

  const arrow = (inside, s, place, text, colour) => {
    outline(inside, s, [[0, 0], place], { stroke: colour });
    const [x, y] = s.to(place);
    put(inside, "circle", { cx: x, cy: y, r: 5, fill: colour });
    put(inside, "text", { x, y: y - 12, "text-anchor": "middle" }, text);
  };

  const handle = (s, p, k) => { // a point that can be dragged
    const d = plane.data, c = d.colours, [px, py] = s.to(seenAt(p)), name = d.names[k] || "";
    const colour = d.names.length ? c.target : c.point;
    if (d.arrows.length) outline(rows, s, [[0, 0], [p[0], p[1]]], { stroke: colour });
    const node = put(rows, "g", { class: "point", tabindex: 0, role: "button", transform: `translate(${px} ${py})` });
    const place = d.line ? `x ${three(p[0])}` : `${three(p[0])}, ${three(p[1])}`;
    node.setAttribute("aria-label", d.fixed ? `${name || `Point ${k + 1} of ${plane.points.length}`}: ${place}. Arrow keys move it.`
      : `Point ${k + 1} of ${plane.points.length}: ${place}, weight ${three(p[2])}. Arrow keys move it, plus and minus change its weight, Delete removes it.`);
    const r = 3.5 + 2.5 * Math.sqrt(Math.min(p[2], 16));
    put(node, "circle", { r: Math.max(16, r + 6), fill: "transparent" }); // room for a finger
    put(node, "circle", { class: "ring", r: r + 5, fill: "none", stroke: c.ink, "stroke-width": 2 });
    put(node, "circle", { r, fill: colour, "fill-opacity": 0.9, stroke: c.ink, "stroke-width": 1.5 });
    if (d.fixed && name) put(node, "text", { y: -r - 9, "text-anchor": "middle" }, name);
    node.addEventListener("pointerdown", (event) => hold(event, k));
    node.addEventListener("keydown", (event) => keyed(event, k));
    node.addEventListener("focus", () => { focused = k; });
    node.addEventListener("blur", () => { focused = -1; });
    if (held && held.k === k) node.classList.add("held");
  };

  const drawLegend = () => {
    const c = plane.data.colours;
    legend.replaceChildren(...plane.data.legend.map(([marker, colour, text, dash]) => {
      const entry = document.createElement("span"), icon = put(entry, "svg", { viewBox: "0 0 18 18" });
      const open = marker.endsWith("-open"), drawn = marker === "line" || marker === "cross" || open;
      const look = drawn ? { fill: "none", stroke: c[colour], "stroke-width": 2, "stroke-dasharray": dash } : { fill: c[colour] };
      put(icon, "path", { d: shape(9, 9, marker.replace("-open", ""), 0.9), ...look });
      entry.append(text);
      return entry;
    }));
  };

  const settle = (delay = 0) => {
    clearTimeout(rest);
    rest = setTimeout(() => plane.tell(plane.points.map((p) => p.map(round))), delay);
  };
  const hold = (event, k) => {
    event.preventDefault();
    event.stopPropagation();
    held = { k, x: event.clientX, y: event.clientY, moved: false };
    rows.setPointerCapture(event.pointerId);
  };
  rows.addEventListener("pointerdown", (event) => {
    held = { k: -1, x: event.clientX, y: event.clientY, moved: false };
  });
  rows.addEventListener("pointermove", (event) => {
    if (!plane.data) return;
    if (!held) return tellNumbers(here(event).map((value) => snap(value)));
    held.moved ||= Math.hypot(event.clientX - held.x, event.clientY - held.y) > CLICK;
    if (held.k < 0 || !held.moved) return;
    plane.points[held.k] = moved(held.k, ...here(event));
    draw();
  });
  rows.addEventListener("pointerup", (event) => {
    const was = held;
    held = null;
    if (!was) return;
    if (was.k >= 0 && was.moved) return draw(), settle();
    if (!was.moved) click(was.k, here(event));
  });
  rows.addEventListener("touchstart", (event) => { // a finger on a point drags the point, not the page
    if (event.target.closest(".point")) event.preventDefault();
  }, { passive: false });
  rows.addEventListener("pointercancel", () => { held = null; });
  rows.addEventListener("pointerleave", () => { if (plane.data && !held) tellNumbers(null); });

  const click = (k, [x, y]) => {
    const d = plane.data, near = k >= 0 ? k : nearest(x, y);
    if (d.act === "add") {
      if (k >= 0) weigh(k, plane.points[k][2] + 1);
      else if (plane.points.length < d.most) {
        const noise = d.line && d.line.draws[plane.points.length % d.line.draws.length];
        plane.points.push([snap(x), d.line ? noise : snap(y), 1]);
      }
    } else if (near >= 0) {
      if (d.act === "remove the nearest") plane.points.splice(near, 1);
      else plane.points[near] = moved(near, x, y);
    }
    draw();
    settle();
  };
  const nearest = (x, y) => {
    const far = plane.points.map((p) => Math.hypot(p[0] - x, plane.data.line ? 0 : p[1] - y));
    return far.indexOf(Math.min(...far));
  };
  const weigh = (k, w) => { plane.points[k][2] = round(clamp(w, plane.data.weights[0], plane.data.weights[1])); };
  const keyed = (event, k) => {
    const step = event.shiftKey ? GREAT : STEP, p = plane.points[k];
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (way) plane.points[k] = moved(k, p[0] + way[0] * step, p[1] + way[1] * step);
    else if (plane.data.fixed) return;
    else if (event.key === "+" || event.key === "=") weigh(k, p[2] + 1);
    else if (event.key === "-") weigh(k, p[2] > 1 ? p[2] - 1 : p[2] / 2);
    else if (event.key === "Delete" || event.key === "Backspace") plane.points.splice(k, 1);
    else return;
    event.preventDefault();
    event.stopPropagation();
    draw();
    settle(REST);
  };

  plane.watcher = new ResizeObserver(() => { if (plane.data && !held) draw(); });
  plane.watcher.observe(rows);
  return plane;
}
