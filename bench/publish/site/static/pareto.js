// The Pareto front: the points that no other point beats on one axis without losing on the other.
"use strict";

// Points are {x, y}; a direction is "higher" or "lower" (which way is better; "" counts as lower, as for costs).
// Returns the front from the best x to the worst. Of points that are equal on both axes all stand on it.
claimbench.pareto = (points, betterX, betterY) => {
  const signX = betterX === "higher" ? -1 : 1;
  const signY = betterY === "higher" ? -1 : 1;
  const sorted = points
    .filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y))
    .sort((a, b) => signX * (a.x - b.x) || signY * (a.y - b.y));
  const front = [];
  let best = Infinity;
  let last = null;
  for (const point of sorted) {
    const cost = signY * point.y;
    if (cost < best || (last && cost === best && point.x === last.x)) {
      front.push(point);
      best = cost;
      last = point;
    }
  }
  return front;
};
