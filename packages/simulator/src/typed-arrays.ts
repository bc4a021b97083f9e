// Growing typed arrays.

/** A copy with room for `capacity` entries; the new ones hold `fill`. */
export function grown<T extends Int32Array | Float64Array>(array: T, capacity: number, fill = 0): T {
  const larger = (array instanceof Int32Array ? new Int32Array(capacity) : new Float64Array(capacity)) as T;
  larger.set(array);
  if (fill !== 0) larger.fill(fill, array.length);
  return larger;
}
