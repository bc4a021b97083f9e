// base^exponent by repeated squaring. Math.pow and ** may differ in the last bit from one JavaScript engine, and one version
// of it, to the next (Node 20 and 26 do); products of float64 may not.

/** `exponent` is an integer of at least 0. */
export function integerPower(base: number, exponent: number): number {
  let result = 1;
  let square = base;
  for (let left = exponent; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) result *= square;
    square *= square;
  }
  return result;
}
