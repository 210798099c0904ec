// The pick player: draws what `plots/sentence_map.playback` made.  A step redraws three small pictures and asks the server nothing;
// only when it rests on a pick is the server told (`at`), and when a point is clicked (`record`).
const REST = 250; // milliseconds on one pick before the server is told
const players = new WeakMap();

export default function (component) {
  const { data, parentElement, setStateValue, setTriggerValue } = component;
  let player = players.get(parentElement);
  if (!player) {
    player = make(parentElement);
    players.set(parentElement, player);
  }
  player.tell = (at) => setStateValue("at", at);
  player.open = (record) => setTriggerValue("record", record);
  player.show(data);
  return () => {
    player.stop();
    player.watcher.disconnect();
    players.delete(parentElement);
  };
}

function make(root) {
  const $ = (name) => root.querySelector(`.${name}`);
  const slider = $("at"), speed = $("speed"), play = $("play");
  const base = $("base"); // the pool and the picks so far, drawn once and added to; what moves is on the canvas above
  const player = { data: null, at: 1, drawn: 0, playing: false, told: 1 };
  let frame = 0, rest = 0, next = 0;

  const room = (canvas) => {
    const ratio = window.devicePixelRatio || 1, box = canvas.getBoundingClientRect();
    const w = Math.max(1, Math.round(box.width * ratio)), h = Math.max(1, Math.round(box.height * ratio));
    if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
    const pen = canvas.getContext("2d", { willReadFrequently: true }); // small and often redrawn: quicker without the GPU
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    return [pen, box.width, box.height];
  };
  const place = (x, y) => {
    const { clientWidth: w, clientHeight: h } = $("map"), gap = 14, f = player.data.fine;
    if (!player.data.equal) return [gap + (x / f) * (w - 2 * gap), h - gap - (y / f) * (h - 2 * gap)];
    const side = Math.min(w, h) - 2 * gap;
    return [(w - side) / 2 + (x / f) * side, (h + side) / 2 - (y / f) * side];
  };
  const dot = (pen, x, y, r) => { pen.beginPath(); pen.arc(x, y, r, 0, 2 * Math.PI); pen.fill(); };

  const background = () => {
    const d = player.data, [pen, w, h] = room(base);
    pen.clearRect(0, 0, w, h);
    pen.fillStyle = d.colours.pale;
    pen.globalAlpha = d.lit ? 0.2 : 0.55;
    for (const set of [d.rest, d.picks]) for (let i = 0; i < set.x.length; i++) dot(pen, ...place(set.x[i], set.y[i]), 2.2);
    pen.globalAlpha = 1; // what is searched, filtered or lassoed
    if (d.lit) for (let i = 0; i < d.lit.x.length; i++) dot(pen, ...place(d.lit.x[i], d.lit.y[i]), 3.2);
    player.drawn = 0;
  };
  const addPicks = () => {
    if (player.at < player.drawn) background();
    const d = player.data, pen = base.getContext("2d");
    pen.lineWidth = 1;
    for (; player.drawn < player.at; player.drawn++) {
      const [x, y] = place(d.picks.x[player.drawn], d.picks.y[player.drawn]);
      pen.fillStyle = d.colours.pick;
      pen.strokeStyle = d.colours.edge;
      pen.globalAlpha = !d.lit ? 0.9 : d.lit.picks[player.drawn] ? 1 : 0.35;
      dot(pen, x, y, d.lit && d.lit.picks[player.drawn] ? 5.6 : 4.6);
      pen.stroke();
    }
  };
  const drawMap = () => {
    addPicks();
    const d = player.data, [pen, w, h] = room($("map"));
    pen.clearRect(0, 0, w, h);
    for (let back = Math.min(8, player.at); back >= 1; back--) { // the last picks glow, the newest most
      const k = player.at - back, [x, y] = place(d.picks.x[k], d.picks.y[k]);
      pen.globalAlpha = back === 1 ? 1 : 0.5 * (1 - back / 9);
      pen.strokeStyle = back === 1 ? d.colours.ink : d.colours.pick;
      pen.lineWidth = back === 1 ? 3 : 2;
      pen.fillStyle = d.colours.pick;
      if (back === 1) dot(pen, x, y, 7);
      pen.beginPath(); pen.arc(x, y, back === 1 ? 13 : 8, 0, 2 * Math.PI); pen.stroke();
    }
    pen.globalAlpha = 1;
  };

  const frameOf = (pen, w, h, low, high, side = "left") => {
    const d = player.data, left = 8, bottom = 18;
    pen.clearRect(0, 0, w, h);
    pen.strokeStyle = d.colours.grid;
    pen.lineWidth = 1;
    pen.beginPath(); pen.moveTo(left, 4); pen.lineTo(left, h - bottom); pen.lineTo(w - 6, h - bottom); pen.stroke();
    pen.fillStyle = d.colours.quiet;
    pen.font = "12px system-ui, sans-serif";
    pen.textAlign = "left"; pen.fillText("1", left, h - 4);
    pen.textAlign = side; pen.fillText(high, side === "left" ? left + 5 : w - 6, 14);
    pen.textAlign = "left";
    if (low) pen.fillText(low, left + 5, h - bottom - 5);
    pen.textAlign = "right"; pen.fillText(`${player.last.toLocaleString("en")} picks`, w - 6, h - 4);
    return (k) => left + (player.last === 1 ? 0 : ((k - 1) / (player.last - 1)) * (w - left - 6));
  };
  const line = (pen, ys, across, up, to) => {
    pen.beginPath();
    for (let k = 1; k <= to; k++) { const y = up(ys[k - 1]); k === 1 ? pen.moveTo(across(k), y) : pen.lineTo(across(k), y); }
    pen.stroke();
  };
  const drawCurve = () => {
    const d = player.data, [pen, w, h] = room($("curve"));
    const top = Math.max(player.total[player.last - 1], ...d.chance.slice(-1)) , up = (v) => h - 18 - (v / top) * (h - 30);
    const across = frameOf(pen, w, h, "0", `${nats(top)} nats`);
    pen.lineWidth = 1.5; pen.strokeStyle = d.colours.pale; pen.setLineDash([5, 3]);
    if (d.chance.length) line(pen, d.chance, across, up, player.last);
    pen.setLineDash([]); pen.strokeStyle = d.colours.pick; pen.globalAlpha = 0.3; pen.lineWidth = 2;
    line(pen, player.total, across, up, player.last);
    pen.globalAlpha = 1; pen.lineWidth = 3;
    line(pen, player.total, across, up, player.at);
    pen.fillStyle = d.colours.pick; dot(pen, across(player.at), up(player.total[player.at - 1]), 5);
  };
  const drawGains = () => {
    const d = player.data, [pen, w, h] = room($("gains")), most = Math.max(...player.ends, 1e-9);
    const least = Math.max(Math.min(...player.ends), most / 1e4), rise = Math.log(most / least) || 1;
    const up = (v) => h - 22 - (Math.log(Math.max(v, least) / least) / rise) * (h - 34);
    const across = frameOf(pen, w, h, `${nats(least)} nats`, `at most ${nats(most)} nats; log scale`, "right");
    pen.lineWidth = 2; pen.strokeStyle = d.colours.pick; pen.globalAlpha = 0.3;
    line(pen, d.picks.gain, across, up, player.last);
    pen.globalAlpha = 1;
    line(pen, d.picks.gain, across, up, player.at);
    pen.fillStyle = d.colours.pick; dot(pen, across(player.at), up(d.picks.gain[player.at - 1]), 5);
  };
  const drawPlane = () => {
    const d = player.data, [pen, w, h] = room($("plane")), half = Math.floor(player.at / 2);
    const [long] = d.axes[half], zoom = (0.44 * Math.min(w, h)) / long, x = w / 2, y = h / 2;
    pen.clearRect(0, 0, w, h);
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
    ellipse(player.at); pen.globalAlpha = 0.15; pen.fill(); pen.globalAlpha = 1; pen.stroke();
    const [a, b] = d.axes[player.at];
    $("size").textContent = `half axes ${short(a)} and ${short(b)}; dashed: after ${half.toLocaleString("en")} picks`;
  };
  const say = () => {
    const d = player.data, k = player.at - 1, p = d.picks;
    $("now").textContent =
      `Pick ${player.at.toLocaleString("en")} of ${player.last.toLocaleString("en")}: record ${p.record[k].toLocaleString("en")}, ` +
      `+${nats(p.gain[k])} nats, ${p.tokens[k].toLocaleString("en")} tokens; log det ${nats(player.total[k])} nats`;
    $("text").textContent = p.text[k];
    slider.value = player.at;
    slider.setAttribute("aria-valuetext", $("now").textContent);
  };
  const draw = () => { drawMap(); drawCurve(); drawGains(); if (player.data.axes.length) drawPlane(); say(); };

  player.go = (to) => {
    player.at = Math.min(Math.max(1, to), player.last);
    draw();
    clearTimeout(rest);
    if (!player.playing) rest = setTimeout(player.report, REST);
  };
  player.report = () => {
    if (player.told !== player.at) { player.told = player.at; player.tell(player.at); }
  };
  player.stop = () => {
    player.playing = false;
    cancelAnimationFrame(frame);
    clearTimeout(rest);
    play.textContent = "▶";
    play.setAttribute("aria-label", "Play");
  };
  player.start = () => {
    if (player.at >= player.last) player.at = 0;
    player.playing = true;
    play.textContent = "❚❚";
    play.setAttribute("aria-label", "Pause");
    next = performance.now();
    const step = (now) => {
      if (!player.playing) return;
      if (now >= next) { // one pick a frame at most: none is left out
        next = Math.max(next + 1000 / Number(speed.value), now - 50);
        player.go(player.at + 1);
        if (player.at >= player.last) { player.stop(); player.report(); return; }
      }
      frame = requestAnimationFrame(step);
    };
    frame = requestAnimationFrame(step);
  };
  const toggle = () => { if (player.playing) { player.stop(); player.report(); } else player.start(); };
  const halt = (to) => { player.stop(); player.go(to); };

  play.onclick = toggle;
  $("first").onclick = () => halt(1);
  $("back").onclick = () => halt(player.at - 1);
  $("forward").onclick = () => halt(player.at + 1);
  $("last").onclick = () => halt(player.last);
  slider.oninput = () => halt(Number(slider.value));
  slider.onkeydown = (event) => { if (event.key === " ") { event.preventDefault(); toggle(); } };
  $("map").onclick = (event) => {
    const box = $("map").getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top, d = player.data;
    let best = 18 * 18, record = null, pick = 0;
    for (const set of d.lit ? [d.picks, d.rest, d.lit] : [d.picks, d.rest])
      for (let i = 0; i < set.x.length; i++) {
        const [x, y] = place(set.x[i], set.y[i]), far = (x - px) ** 2 + (y - py) ** 2;
        if (far < best) { best = far; record = set.record[i]; pick = set === d.picks ? i + 1 : 0; }
      }
    if (record === null) return;
    if (pick) halt(pick); else { player.stop(); player.open(record); }
  };
  player.show = (data) => {
    const same = player.data && player.data.key === data.key;
    const turned = player.data && player.data.turn !== data.turn; // the address, by the Back button, asks for a record
    player.data = data;
    if (!same) {
      player.stop();
      player.last = data.picks.x.length;
      let sum = 0;
      player.total = data.picks.gain.map((g) => (sum += g));
      player.ends = data.picks.gain;
      player.at = player.told = Math.min(Math.max(1, data.at), player.last);
      slider.max = player.last;
      slider.setAttribute("aria-label", `Pick, 1 to ${player.last}`);
      $("map").setAttribute("aria-label", `${data.kind} map; the picks of ${data.label} so far are larger, the newest is ringed`);
    }
    if (same && turned && data.at) {
      player.stop();
      player.at = player.told = data.at;
    }
    $("picture").hidden = !data.axes.length;
    background();
    draw();
  };
  player.watcher = new ResizeObserver(() => { if (player.data) { background(); draw(); } });
  player.watcher.observe($("player"));
  return player;
}

const nats = (v) => (v >= 100 ? Math.round(v).toLocaleString("en") : String(Number(v.toPrecision(3))));
const short = (v) => String(Number(v.toPrecision(3)));
