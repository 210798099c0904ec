// The map of sentences: the pool and the picks, drawn from what `plots/sentence_map` made (`points.js` brings the points).  Moving the
// budget, playing, hovering and zooming happen here and ask the server nothing.  It is told where the player rests (`at`), which
// point was clicked (`record`), the corners of a lasso (`lasso`, in the points' own units), whose records it finds by itself, and
// which part of a density is looked at (`region`), so that it sends what is to be seen there.
const REST = 250; // milliseconds on one pick before the server is told
const NEAR = 14; // pixels within which a point is meant
const CORNERS = 200; // of a lasso, at most
const UNITS = ["sentences", "percent", "tokens"]; // keys of the budget's slider
const maps = new WeakMap();

export default function (component) {
  const { data, parentElement, setStateValue, setTriggerValue } = component;
  let map = maps.get(parentElement);
  if (!map) maps.set(parentElement, (map = make(parentElement)));
  map.tell = (at) => setStateValue("at", at);
  map.open = (record) => setTriggerValue("record", record);
  map.mark = (corners) => setTriggerValue("lasso", corners);
  map.look = (region) => setTriggerValue("region", region);
  map.show(data);
  return () => {
    map.leave();
    maps.delete(parentElement);
  };
}

// Plotly's symbols as outlines of radius 1.
const ring = (k, turn, radius = () => 1) =>
  "M" + Array.from({ length: k }, (_, i) => [Math.sin((2 * Math.PI * i) / k + turn) * radius(i), -Math.cos((2 * Math.PI * i) / k + turn) * radius(i)].map((v) => v.toFixed(3)).join(",")).join("L") + "Z";
const star = (k, inner, turn = 0) => ring(2 * k, turn, (i) => (i % 2 ? inner : 1.3));
const plus = (turn) => "M" + [[-0.4, -1], [0.4, -1], [0.4, -0.4], [1, -0.4], [1, 0.4], [0.4, 0.4], [0.4, 1], [-0.4, 1], [-0.4, 0.4], [-1, 0.4], [-1, -0.4], [-0.4, -0.4]].map(([x, y]) => [x * Math.cos(turn) - y * Math.sin(turn), x * Math.sin(turn) + y * Math.cos(turn)].map((v) => v.toFixed(3)).join(",")).join("L") + "Z";
const CIRCLE = "M1,0A1,1,0,1,1,-1,0A1,1,0,1,1,1,0Z", SQUARE = "M-.9,-.9L.9,-.9L.9,.9L-.9,.9Z", UPRIGHT = "M0,-1L0,1M-1,0L1,0", SLANTED = "M-.7,-.7L.7,.7M.7,-.7L-.7,.7";
const SHAPES = {
  circle: CIRCLE, square: SQUARE, diamond: ring(4, 0, () => 1.25), cross: plus(0), x: plus(Math.PI / 4),
  "triangle-up": ring(3, 0, () => 1.2), "triangle-down": ring(3, Math.PI, () => 1.2), pentagon: ring(5, 0), hexagon: ring(6, 0), hexagon2: ring(6, Math.PI / 6), octagon: ring(8, Math.PI / 8),
  star: star(5, 0.5), hexagram: star(6, 0.75), "star-triangle-up": star(3, 0.45), "star-triangle-down": star(3, 0.45, Math.PI), "star-square": star(4, 0.6, Math.PI / 4), "star-diamond": star(4, 0.6),
  "diamond-tall": "M0,-1.4L.7,0L0,1.4L-.7,0Z", "diamond-wide": "M0,-.7L1.4,0L0,.7L-1.4,0Z", hourglass: "M-1,-1L1,-1L-1,1L1,1Z", bowtie: "M-1,-1L1,1L1,-1L-1,1Z",
  "circle-cross": CIRCLE + UPRIGHT, "circle-x": CIRCLE + SLANTED, "square-cross": SQUARE + UPRIGHT, "square-x": SQUARE + SLANTED, "diamond-cross": ring(4, 0, () => 1.25) + UPRIGHT,
  "arrow-up": "M0,-1.2L.9,1L0,.5L-.9,1Z", "arrow-down": "M0,1.2L.9,-1L0,-.5L-.9,-1Z",
};
const paths = new Map();
const outline = (name) => {
  if (!paths.has(name)) paths.set(name, new Path2D(SHAPES[name] ?? CIRCLE));
  return paths.get(name);
};

function make(root) {
  const $ = (name) => root.querySelector(`.${name}`);
  const slider = $("at"), speed = $("speed"), play = $("play"), field = $("field"), over = $("map"), hover = $("hover");
  const map = { data: null, points: null, at: 1, n: 1, playing: false, stepping: false, told: 0, zoom: 1, left: 0, up: 0, drawing: null, choosing: false, under: null };
  let frame = 0, rest = 0, next = 0, zooming = 0;

  // ---- where things are
  const room = (canvas) => {
    const ratio = window.devicePixelRatio || 1, box = canvas.getBoundingClientRect();
    const w = Math.max(1, Math.round(box.width * ratio)), h = Math.max(1, Math.round(box.height * ratio));
    if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
    const pen = canvas.getContext("2d", { willReadFrequently: true }); // small and often redrawn: quicker without the GPU
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, box.width, box.height);
    return [pen, box.width, box.height];
  };
  const frameOfMap = () => {
    const w = field.clientWidth, h = field.clientHeight, gap = 16;
    if (!map.points.equal) return [gap, gap, w - 2 * gap, h - 2 * gap];
    const side = Math.min(w, h) - 2 * gap;
    return [(w - side) / 2, (h - side) / 2, side, side];
  };
  const place = (x, y) => {
    const [left, top, w, h] = frameOfMap(), f = map.points.fine;
    return [(left + (x / f) * w) * map.zoom + map.left, (top + (1 - y / f) * h) * map.zoom + map.up];
  };
  const unplace = (px, py) => {
    const [left, top, w, h] = frameOfMap(), f = map.points.fine;
    return [Math.round(((((px - map.left) / map.zoom - left) / w) * f)), Math.round((1 - ((py - map.up) / map.zoom - top) / h) * f)];
  };
  const spot = (i) => place(map.points.x[i], map.points.y[i]);

  // ---- how a point looks
  const rank = (i) => { const r = map.ranks[i]; return r && r <= map.at ? r : 0; };
  const colour = (i, r) => {
    const { paint, colours } = map.data;
    if (paint.codes) return paint.palette[paint.codes[i]];
    if (!r) return colours.pale;
    return paint.shades ? paint.shades[Math.round(((paint.shades.length - 1) * (r - 1)) / Math.max(map.n - 1, 1))] : colours.pick;
  };
  const symbol = (i, r) => (map.data.paint.symbols ? map.data.paint.symbols[i] : r && !map.data.paint.codes ? map.data.symbol : "circle");
  const look = (i, r = rank(i)) => {
    const lit = map.lit?.has(i), pale = map.data.dark && map.data.paint.codes ? 0.7 : 0.45;
    const alpha = map.lit ? (lit ? 1 : r ? 0.35 : 0.12) : r ? 0.95 : pale;
    return { fill: colour(i, r), shape: symbol(i, r), radius: (r ? 5 : 2.5) + (lit ? 1 : 0), alpha, edge: r > 0 };
  };
  const stamp = (pen, x, y, { fill, shape, radius, alpha, edge, stroke, width = 1 }) => {
    pen.save();
    pen.globalAlpha = alpha ?? 1;
    pen.translate(x, y);
    pen.scale(radius, radius);
    pen.lineWidth = width / radius;
    if (fill) { pen.fillStyle = fill; pen.fill(outline(shape)); }
    if (edge || stroke) { pen.strokeStyle = stroke ?? map.data.colours.edge; pen.stroke(outline(shape)); }
    pen.restore();
  };
  // Everything that is drawn above the pool, in order: picks so far, target texts, rings.
  const above = () => {
    const d = map.data, marks = [];
    for (let k = 0; k < map.at; k++) marks.push([d.picks[k], look(d.picks[k])]);
    if (map.lit && !d.many) for (const i of map.lit) if (!rank(i)) marks.push([i, look(i)]);
    for (const i of d.stars) marks.push([i, { shape: "star", radius: 6, stroke: d.colours.ink, width: 1.5 }]);
    if (map.stepping)
      for (let back = Math.min(8, map.at); back >= 2; back--) // the last picks glow
        marks.push([d.picks[map.at - back], { shape: "circle", radius: 8, stroke: d.colours.pick, width: 2, alpha: 0.5 * (1 - back / 9) }]);
    const focus = map.stepping ? d.picks[map.at - 1] : d.focus;
    if (!map.stepping && d.neighbour !== null) marks.push([d.neighbour, { shape: "diamond", radius: 9, stroke: d.colours.ink, width: 2.5 }]);
    if (focus !== null) marks.push([focus, { shape: "circle", radius: 11, stroke: d.colours.ink, width: 2.5 }]);
    if (map.under !== null) marks.push([map.under, { shape: "circle", radius: 4, stroke: d.colours.ink, width: 1.5 }]);
    return marks;
  };

  // ---- drawing
  const spread = (pen, density, alpha = 1) => { // a picture of how many records lie where
    const [left, bottom] = place(density.window[0], density.window[1]), [right, top] = place(density.window[2], density.window[3]);
    pen.globalAlpha = alpha;
    pen.drawImage(picture(density, map.data.colours), left, top, right - left, bottom - top);
    pen.globalAlpha = 1;
  };
  const drawDensity = (pen) => { // a region that came anew takes the place of what is seen of it in the whole
    const p = map.points, window = p.close?.window;
    pen.save();
    if (window) {
      const [left, bottom] = place(window[0], window[1]), [right, top] = place(window[2], window[3]);
      pen.beginPath(); pen.rect(0, 0, field.clientWidth, field.clientHeight); pen.rect(left, top, right - left, bottom - top);
      pen.clip("evenodd");
    }
    spread(pen, p.density, map.lit ? 0.35 : 1);
    pen.restore();
    if (p.close?.density) spread(pen, p.close.density, map.lit ? 0.35 : 1);
    if (map.data.many) spread(pen, map.data.many);
  };
  const inPool = (i) => !map.points.density || i >= map.points.closeFrom || (map.data.paint.codes && i < map.points.sampled);
  const drawPool = () => { // picks lie in it too, as they look before they are picked
    const p = map.points, [pen] = room($("base"));
    if (p.density) drawDensity(pen);
    for (let i = 0; i < p.x.length; i++) {
      if (!inPool(i)) continue;
      const [x, y] = spot(i), as = look(i, 0);
      if (as.shape !== "circle") { stamp(pen, x, y, as); continue; }
      pen.globalAlpha = as.alpha;
      pen.fillStyle = as.fill;
      pen.beginPath(); pen.arc(x, y, as.radius, 0, 2 * Math.PI); pen.fill();
    }
  };
  const drawMap = () => {
    const [pen] = room(over);
    for (const [i, as] of above()) stamp(pen, ...spot(i), as);
    if (map.drawing?.corners) {
      pen.strokeStyle = map.data.colours.ink; pen.setLineDash([4, 3]); pen.beginPath();
      for (const [x, y] of map.drawing.corners) pen.lineTo(x, y);
      pen.stroke(); pen.setLineDash([]);
    }
  };
  const legend = () => {
    const box = $("legend"), d = map.data, part = (tag, text) => { const e = document.createElement(tag); if (text) e.textContent = text; return e; };
    box.replaceChildren(...d.legend.map(([name, fill, shape, hollow]) => {
      const item = part("span"), svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      svg.setAttribute("viewBox", "-1.6 -1.6 3.2 3.2"); svg.setAttribute("aria-hidden", "true");
      path.setAttribute("d", SHAPES[shape] ?? CIRCLE); path.setAttribute("fill", hollow ? "none" : fill);
      if (hollow) { path.setAttribute("stroke", fill); path.setAttribute("stroke-width", ".3"); }
      svg.append(path); item.append(svg, part("span", name));
      return item;
    }));
    const scaled = (before, shades, after) => {
      const item = part("span"), bar = part("i");
      bar.className = "scale"; bar.style.background = `linear-gradient(to right, ${shades.join(",")})`;
      item.append(part("span", before), bar, part("span", after));
      box.append(item);
    };
    if (d.scale) scaled(`${d.scale.title} ${d.scale.low}`, d.scale.shades, d.scale.high);
    const { close } = map.points, dense = close ? close.density : map.points.density;
    if (dense) {
      const where = close ? " around here" : "", sample = d.paint.codes ? `; colours on a sample of ${count(map.points.sampled)}` : "";
      scaled(`density of ${count(dense.records)} records${where}: 1`, [d.colours.sparse, d.colours.dense], `${count(dense.most)} in a cell${sample}`);
    } else if (close) box.append(part("span", `${count(close.records)} records around here, each a point`));
  };
  const draw = () => {
    drawMap();
    if (!$("side").hidden) { drawCurve(); drawGains(); if (map.data.axes.length) drawPlane(); }
    say();
  };
  const redraw = () => { drawPool(); draw(); };
  const say = () => {
    const d = map.data, k = map.at - 1, i = d.picks[k], p = map.points;
    slider.max = map.n;
    slider.value = map.at;
    const gain = d.gain[k] === undefined ? "" : `, +${nats(d.gain[k])} nats`;
    $("now").textContent = `Pick ${count(map.at)} of ${count(map.n)}: record ${count(p.record[i])}${gain}, ${count(p.tokens[i])} tokens`;
    $("text").textContent = d.texts[k] ?? p.text[i] ?? "";
    slider.setAttribute("aria-valuetext", $("now").textContent);
  };

  // ---- the small pictures beside it
  const frameOf = (pen, w, h, low, high, side = "left") => {
    const d = map.data, left = 8, bottom = 18;
    pen.strokeStyle = d.colours.grid;
    pen.lineWidth = 1;
    pen.beginPath(); pen.moveTo(left, 4); pen.lineTo(left, h - bottom); pen.lineTo(w - 6, h - bottom); pen.stroke();
    pen.fillStyle = d.colours.quiet;
    pen.font = "12px system-ui, sans-serif";
    pen.textAlign = "left"; pen.fillText("1", left, h - 4);
    pen.textAlign = side; pen.fillText(high, side === "left" ? left + 5 : w - 6, 14);
    pen.textAlign = "left";
    if (low) pen.fillText(low, left + 5, h - bottom - 5);
    pen.textAlign = "right"; pen.fillText(`${count(map.n)} picks`, w - 6, h - 4);
    return (k) => left + (map.n === 1 ? 0 : ((k - 1) / (map.n - 1)) * (w - left - 6));
  };
  const line = (pen, ys, across, up, to) => {
    pen.beginPath();
    for (let k = 1; k <= Math.min(to, ys.length); k++) { const y = up(ys[k - 1]); k === 1 ? pen.moveTo(across(k), y) : pen.lineTo(across(k), y); }
    pen.stroke();
  };
  const twice = (pen, ys, across, up) => { // all of it pale, then strong up to the pick that is shown, which is a dot
    pen.strokeStyle = pen.fillStyle = map.data.colours.pick;
    pen.globalAlpha = 0.3; pen.lineWidth = 2; line(pen, ys, across, up, map.n);
    pen.globalAlpha = 1; pen.lineWidth = 3; line(pen, ys, across, up, map.at);
    pen.beginPath(); pen.arc(across(map.at), up(ys[map.at - 1] ?? ys[ys.length - 1]), 5, 0, 2 * Math.PI); pen.fill();
  };
  const drawCurve = () => {
    const d = map.data, [pen, w, h] = room($("curve"));
    const top = Math.max(map.total[map.n - 1] ?? 0, ...d.chance.slice(-1)), up = (v) => h - 18 - (v / top) * (h - 30);
    const across = frameOf(pen, w, h, "0", `${nats(top)} nats`);
    pen.lineWidth = 1.5; pen.strokeStyle = d.colours.pale; pen.setLineDash([5, 3]);
    if (d.chance.length) line(pen, d.chance, across, up, map.n);
    pen.setLineDash([]);
    twice(pen, map.total, across, up);
  };
  const drawGains = () => {
    const d = map.data, [pen, w, h] = room($("gains")), most = Math.max(...d.gain, 1e-9);
    const least = Math.max(Math.min(...d.gain), most / 1e4), rise = Math.log(most / least) || 1;
    const up = (v) => h - 22 - (Math.log(Math.max(v, least) / least) / rise) * (h - 34);
    twice(pen, d.gain, frameOf(pen, w, h, `${nats(least)} nats`, `at most ${nats(most)} nats; log scale`, "right"), up);
  };
  const drawPlane = () => {
    const d = map.data, [pen, w, h] = room($("plane")), at = Math.min(map.at, d.axes.length - 1), half = Math.floor(at / 2);
    const [long] = d.axes[half], zoom = (0.44 * Math.min(w, h)) / long, x = w / 2, y = h / 2;
    pen.strokeStyle = d.colours.grid; pen.lineWidth = 1;
    pen.beginPath(); pen.moveTo(4, y); pen.lineTo(w - 4, y); pen.moveTo(x, 4); pen.lineTo(x, h - 4); pen.stroke();
    pen.fillStyle = d.colours.quiet; pen.font = "12px system-ui, sans-serif";
    pen.textAlign = "right"; pen.fillText(`direction ${d.directions[0]} →`, w - 6, h - 6);
    pen.textAlign = "left"; pen.fillText(`direction ${d.directions[1]} ↑`, 6, 14);
    const ellipse = (k) => {
      const [a, b, turn] = d.axes[k];
      pen.beginPath(); pen.ellipse(x, y, Math.max(a * zoom, 0.5), Math.max(b * zoom, 0.5), -turn, 0, 2 * Math.PI);
    };
    pen.setLineDash([5, 3]); pen.lineWidth = 1.5; pen.strokeStyle = d.colours.quiet; ellipse(half); pen.stroke();
    pen.setLineDash([]); pen.lineWidth = 2.5; pen.strokeStyle = d.colours.pick; pen.fillStyle = d.colours.pick;
    ellipse(at); pen.globalAlpha = 0.15; pen.fill(); pen.globalAlpha = 1; pen.stroke();
    const [a, b] = d.axes[at];
    const larger = half ? `, drawn ${count(Math.round(d.axes[0][0] / long))} times as large as before any pick` : "";
    $("size").textContent = `half axes ${short(a)} and ${short(b)}${larger}; dashed: after ${count(half)} picks`;
  };

  // ---- playing
  const go = (to) => {
    map.at = Math.min(Math.max(1, to), map.n);
    map.stepping = true;
    draw();
    clearTimeout(rest);
    if (!map.playing) rest = setTimeout(report, REST);
  };
  const report = () => {
    if (map.told !== map.at) { map.told = map.at; map.tell(map.at); }
  };
  const stop = () => {
    map.playing = false;
    cancelAnimationFrame(frame);
    clearTimeout(rest);
    play.textContent = "▶";
    play.setAttribute("aria-label", "Play");
  };
  const start = () => {
    if (map.at >= map.n) map.at = 0;
    map.playing = true;
    play.textContent = "❚❚";
    play.setAttribute("aria-label", "Pause");
    next = performance.now();
    const step = (now) => {
      if (!map.playing) return;
      if (now >= next) { // one pick a frame at most: none is left out
        next = Math.max(next + 1000 / Number(speed.value), now - 50);
        go(map.at + 1);
        if (map.at >= map.n) { stop(); report(); return; }
      }
      frame = requestAnimationFrame(step);
    };
    frame = requestAnimationFrame(step);
  };
  const toggle = () => { if (map.playing) { stop(); report(); } else start(); };
  const halt = (to) => { stop(); go(to); };
  play.onclick = toggle;
  $("back").onclick = () => halt(map.at - 1);
  $("forward").onclick = () => halt(map.at + 1);
  slider.oninput = () => halt(Number(slider.value));
  slider.onkeydown = (event) => { if (event.key === " ") { event.preventDefault(); toggle(); } };

  // ---- the budget, while its slider is dragged
  const budget = (unit, value) => {
    const d = map.data, most = d.picks.length;
    if (unit === "sentences") return Math.min(most, Math.max(1, value));
    if (unit === "percent") return Math.min(most, Math.max(1, Math.round((value / 100) * d.pool)));
    let spent = 0, k = 0;
    while (k < most && (spent += map.points.tokens[d.picks[k]]) <= value) k++;
    return Math.max(1, k);
  };
  const dragged = () => {
    const unit = map.data?.unit, input = unit && document.querySelector(`.st-key-${unit} input[type=range]`);
    if (!input || !map.points) return;
    const n = budget(unit, Number(input.value));
    if (n === map.n) return;
    stop();
    map.n = map.at = n;
    map.stepping = false;
    draw();
  };
  const watcher = new MutationObserver((changes) => {
    if (changes.some((change) => UNITS.some((unit) => change.target.closest?.(`.st-key-${unit}`)))) dragged();
  });
  watcher.observe(document.body, { subtree: true, attributeFilter: ["aria-valuetext"] });

  // ---- pointer
  const nearest = (px, py) => {
    let best = NEAR * NEAR, found = null;
    const closer = (i, favour) => {
      const [x, y] = spot(i), far = ((x - px) ** 2 + (y - py) ** 2) * favour;
      if (far < best) { best = far; found = i; }
    };
    for (let k = 0; k < map.at; k++) closer(map.data.picks[k], 0.5); // a pick is meant rather than what lies beneath it
    for (let i = 0; i < map.points.x.length; i++) closer(i, 1);
    return found;
  };
  const at = (event) => { const box = over.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  const tip = (event) => {
    const [px, py] = at(event), i = map.drawing ? null : nearest(px, py);
    over.style.cursor = map.choosing || event.shiftKey ? "crosshair" : i === null ? "grab" : "pointer";
    hover.hidden = i === null;
    point(i);
    if (i === null) return;
    const p = map.points, r = map.ranks[i], gain = r && map.data.gain[r - 1] !== undefined ? `, +${nats(map.data.gain[r - 1])} nats` : "";
    const tag = p.tag ? `${p.tags[p.tag[i]]} · ` : "", pick = r && r <= map.n ? `pick ${count(r)}${gain} · ` : "";
    hover.firstElementChild.textContent = `${pick}${tag}${count(p.tokens[i])} tokens · record ${count(p.record[i])}`;
    hover.lastElementChild.textContent = p.text[i] ?? "";
    const [x, y] = spot(i), w = field.clientWidth, wide = Math.min(300, w - 16);
    hover.style.width = `${wide}px`;
    hover.style.left = `${Math.min(Math.max(8, x - wide / 2), w - wide - 8)}px`;
    hover.style.top = y < 120 ? `${y + 14}px` : "";
    hover.style.bottom = y < 120 ? "" : `${field.clientHeight - y + 14}px`;
  };
  const point = (i) => { // of a density, whose points are not seen
    if (!map.points?.density || map.under === i) return;
    map.under = i;
    drawMap();
  };
  const zoomed = (factor, px, py) => {
    const to = Math.min(40, Math.max(1, map.zoom * factor)), by = to / map.zoom, w = field.clientWidth, h = field.clientHeight;
    map.left = Math.min(0, Math.max(w * (1 - to), px - (px - map.left) * by));
    map.up = Math.min(0, Math.max(h * (1 - to), py - (py - map.up) * by));
    map.zoom = to;
    moved();
  };
  const moved = () => {
    over.style.touchAction = map.choosing || map.zoom > 1 ? "none" : "pan-y";
    hover.hidden = true;
    map.under = null;
    drawPool(); drawMap();
    clearTimeout(zooming);
    if (map.points.density && map.zoom > 1) zooming = setTimeout(regard, REST);
  };
  const regard = () => { // what is seen of a density, and a little around it, unless it was sent already
    const { fine, close } = map.points, bound = (v) => Math.min(fine, Math.max(0, v));
    const [left, top] = unplace(0, 0).map(bound), [right, bottom] = unplace(field.clientWidth, field.clientHeight).map(bound);
    const [a, b, c, d] = close?.window ?? [1, 1, 0, 0], around = a <= left && b <= bottom && right <= c && top <= d;
    if (around && (close.text.length || c - a <= 3 * (right - left))) return;
    const across = Math.round((right - left) / 4), up = Math.round((top - bottom) / 4);
    map.look([bound(left - across), bound(bottom - up), bound(right + across), bound(top + up)]);
  };
  over.onpointerdown = (event) => {
    if (event.button) return;
    const [x, y] = at(event);
    map.drawing = { x, y, left: map.left, up: map.up, far: 0, corners: map.choosing || event.shiftKey ? [[x, y]] : null };
    over.setPointerCapture(event.pointerId);
  };
  over.onpointermove = (event) => {
    const drag = map.drawing, [x, y] = at(event);
    if (!drag) { tip(event); return; }
    drag.far = Math.max(drag.far, Math.hypot(x - drag.x, y - drag.y));
    if (drag.corners) { drag.corners.push([x, y]); drawMap(); return; }
    if (drag.far < 4 || map.zoom === 1) return;
    const w = field.clientWidth, h = field.clientHeight;
    map.left = Math.min(0, Math.max(w * (1 - map.zoom), drag.left + x - drag.x));
    map.up = Math.min(0, Math.max(h * (1 - map.zoom), drag.up + y - drag.y));
    moved();
  };
  over.onpointerup = (event) => {
    const drag = map.drawing;
    map.drawing = null;
    if (!drag) return;
    if (drag.corners && drag.far > 8) {
      const thin = Math.ceil(drag.corners.length / CORNERS);
      map.mark(drag.corners.filter((_, k) => k % thin === 0).map(([x, y]) => unplace(x, y)));
      choose(false);
    } else if (drag.far < 6) {
      const i = nearest(...at(event));
      if (i !== null) click(i);
    }
    drawMap();
  };
  over.onpointercancel = () => { map.drawing = null; drawMap(); };
  over.onpointerleave = () => { hover.hidden = true; point(null); };
  over.onwheel = (event) => { event.preventDefault(); zoomed(Math.exp(-event.deltaY / 400), ...at(event)); };
  over.ondblclick = () => whole();
  const click = (i) => { // the ring moves at once, the reasons follow
    stop();
    map.stepping = false;
    map.data.focus = i;
    map.data.neighbour = null;
    map.at = map.n;
    draw();
    map.open(map.points.record[i]);
  };
  const whole = () => { map.zoom = 1; map.left = map.up = 0; moved(); };
  const choose = (on) => {
    map.choosing = on;
    $("lasso").setAttribute("aria-pressed", on);
    moved();
  };
  $("lasso").onclick = () => choose(!map.choosing);
  $("closer").onclick = () => zoomed(1.6, field.clientWidth / 2, field.clientHeight / 2);
  $("farther").onclick = () => zoomed(1 / 1.6, field.clientWidth / 2, field.clientHeight / 2);
  $("whole").onclick = whole;

  // ---- the camera: the same marks as a picture, png or svg
  $("camera").onclick = () => {
    const d = map.data, w = field.clientWidth, h = field.clientHeight;
    const marks = [...map.points.x.keys()].filter(inPool).map((i) => [i, look(i, 0)]).concat(above());
    const save = (url) => Object.assign(document.createElement("a"), { href: url, download: `explore-map.${d.picture}` }).click();
    if (d.picture === "svg") {
      const drawing = marks.map(([i, as]) => {
        const [x, y] = spot(i), stroke = as.stroke ?? (as.edge ? d.colours.edge : "none");
        return `<path d="${SHAPES[as.shape] ?? CIRCLE}" transform="translate(${x.toFixed(2)} ${y.toFixed(2)}) scale(${as.radius})" fill="${as.fill ?? "none"}" stroke="${stroke}" stroke-width="${(as.width ?? 1) / as.radius}" opacity="${as.alpha ?? 1}"/>`;
      });
      if (map.points.density) {
        const behind = Object.assign(document.createElement("canvas"), { width: 2 * w, height: 2 * h }), pen = behind.getContext("2d");
        pen.scale(2, 2);
        drawDensity(pen);
        drawing.unshift(`<image href="${behind.toDataURL("image/png")}" width="${w}" height="${h}"/>`);
      }
      const text = `<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}">${drawing.join("")}</svg>`;
      save(URL.createObjectURL(new Blob([text], { type: "image/svg+xml" })));
      return;
    }
    const canvas = Object.assign(document.createElement("canvas"), { width: 2 * w, height: 2 * h }), pen = canvas.getContext("2d");
    pen.scale(2, 2);
    pen.fillStyle = d.colours.edge;
    pen.fillRect(0, 0, w, h);
    if (map.points.density) drawDensity(pen);
    for (const [i, as] of marks) stamp(pen, ...spot(i), as);
    save(canvas.toDataURL("image/png"));
  };

  // ---- what the server says
  map.show = (data) => {
    const same = map.data?.key === data.key, sameBudget = same && map.data.n === data.n && map.n === data.n;
    const turned = map.data && map.data.turn !== data.turn; // the address, by the Back button, asks for a record
    map.data = data;
    map.points = joined(data);
    if (!map.points) return; // `points.js` announces them
    map.ranks = new Uint32Array(map.points.x.length);
    data.picks.forEach((i, k) => (map.ranks[i] = k + 1));
    map.lit = data.lit && new Set(data.lit);
    let sum = 0;
    map.total = data.gain.map((g) => (sum += g));
    map.n = data.n;
    if (!sameBudget || (turned && data.at)) {
      stop();
      map.at = map.told = data.at || map.n;
      map.stepping = data.at > 0;
    } else if (!map.stepping) map.at = map.n;
    slider.setAttribute("aria-label", `Picks shown, 1 to ${map.n}`);
    over.setAttribute("aria-label", data.alt);
    $("side").hidden = !data.side;
    $("text").hidden = !data.side;
    $("picture").hidden = !data.axes.length;
    legend();
    moved();
    draw();
  };
  const arrived = () => { if (map.data && !map.points) map.show(map.data); };
  addEventListener("fishersft-points", arrived);
  const sized = new ResizeObserver(() => { if (map.points) { redraw(); } });
  sized.observe(field);
  map.leave = () => {
    stop();
    sized.disconnect();
    watcher.disconnect();
    removeEventListener("fishersft-points", arrived);
  };
  return map;
}

// All points of a map: a pool's own and, where that is a density, what must be seen of it and what a region brought.
function joined(data) {
  const kept = globalThis.fishersftPoints, pool = kept?.get(data.points), close = data.close && kept?.get(data.close);
  if (!pool || (data.close && !close)) return null;
  if (!pool.density) return pool;
  const parts = close ? [pool, data.more, close] : [pool, data.more], all = { ...pool, close, tags: [], tag: pool.tag && [] };
  for (const name of ["x", "y", "record", "tokens"]) all[name] = parts.flatMap((part) => part[name]);
  all.text = parts.flatMap((part) => (part.text.length ? part.text : Array(part.x.length).fill("")));
  for (const part of pool.tag ? parts : []) {
    for (const k of part.tag ?? []) all.tag.push(k + all.tags.length);
    all.tags.push(...part.tags);
  }
  all.sampled = pool.x.length;
  all.closeFrom = all.sampled + data.more.x.length;
  return all;
}

const pictures = new WeakMap(); // of densities, by theme
function picture(density, { sparse, dense }) {
  const made = pictures.get(density);
  if (made?.dense === dense) return made.canvas;
  const { across, up } = density, canvas = Object.assign(document.createElement("canvas"), { width: across, height: up });
  const cells = atob(density.cells), pen = canvas.getContext("2d"), image = pen.createImageData(across, up);
  const [from, to] = [sparse, dense].map((hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16)));
  for (let k = 0; k < cells.length; k++) {
    const level = cells.charCodeAt(k), at = 4 * ((up - 1 - Math.floor(k / across)) * across + (k % across)), share = level / 255;
    for (let c = 0; c < 3; c++) image.data[at + c] = from[c] + share * (to[c] - from[c]);
    image.data[at + 3] = level ? 255 : 0;
  }
  pen.putImageData(image, 0, 0);
  pictures.set(density, { canvas, dense });
  return canvas;
}

const nats = (v) => (v >= 100 ? Math.round(v).toLocaleString("en") : String(Number(v.toPrecision(3))));
const short = (v) => String(Number(v.toPrecision(3)));
const count = (v) => v.toLocaleString("en");
