// The points of a pool, which a map draws: sent once for a corpus and a model, while what is drawn of them changes with every move.
const MOST = 4; // pools kept in the browser

export default function ({ data }) {
  const kept = (globalThis.fishersftPoints ??= new Map());
  kept.delete(data.key);
  kept.set(data.key, data);
  while (kept.size > MOST) kept.delete(kept.keys().next().value);
  dispatchEvent(new Event("fishersft-points"));
}
