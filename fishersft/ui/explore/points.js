// The points of a pool, which a map draws: sent once for a corpus and a model, while what is drawn of them changes with every move.
// Those of a region that is looked at closely come beside them, and make room for the next region only.
const MOST = 4; // pools kept in the browser, and regions

export default function ({ data }) {
  const kept = (globalThis.fishersftPoints ??= new Map());
  kept.delete(data.key);
  kept.set(data.key, data);
  const alike = [...kept.keys()].filter((key) => !kept.get(key).window === !data.window);
  for (const key of alike.slice(0, -MOST)) kept.delete(key);
  dispatchEvent(new Event("fishersft-points"));
}
