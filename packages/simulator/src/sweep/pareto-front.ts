// The Pareto front: points that no other point beats, where one beats another by being no worse in everything and better
// in something. Less is better.
//
// Sorted lexicographically, a point can only be beaten by one before it, and if it is, then by one of the front so far.
// Points that are equal in everything do not beat one another: all of them are in the front.

/** Positions of the front's points in the order of the first coordinate, ties in the order of the next, then as given. */
export function paretoFront(points: readonly (readonly number[])[]): number[] {
  const order = points.map((_, i) => i).sort((a, b) => compare(points[a]!, points[b]!) || a - b);
  const front: number[] = [];
  for (const candidate of order) {
    const isBeaten = front.some((member) => beats(points[member]!, points[candidate]!));
    if (!isBeaten) front.push(candidate);
  }
  return front;
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < a.length; i++) {
    // Not a difference: infinite coordinates have none.
    if (a[i]! < b[i]!) return -1;
    if (a[i]! > b[i]!) return 1;
  }
  return 0;
}

/** Whether a is at least as good as b in everything, and better in something. */
function beats(a: readonly number[], b: readonly number[]): boolean {
  let isBetter = false;
  for (let i = 0; i < a.length; i++) {
    if (a[i]! > b[i]!) return false;
    if (a[i]! < b[i]!) isBetter = true;
  }
  return isBetter;
}
