// Rounded-up division of token counts by tile and page sizes, which are nearly always powers of two: shifting stays in
// integers, so the loops over all requests make no boxed numbers even before they are optimised.

/** log₂ of a power of two; −1 of anything else. */
export function shiftOf(divisor: number): number {
  return (divisor & (divisor - 1)) === 0 ? 31 - Math.clz32(divisor) : -1;
}

/** ⌈value / divisor⌉ of int32 values ≥ 0. `shift` is shiftOf(divisor). */
export function ceilDivide(value: number, divisor: number, shift: number): number {
  return shift < 0 ? Math.ceil(value / divisor) : (value + divisor - 1) >>> shift;
}
