// Device memory owned by handles, and the 16-bit floats that the kernels read and write.

import type { Dtype, TensorData } from "@isochron/planner";
import type { MemoryHandle, NativeAddon } from "./binding.ts";
import { awaiting, calling } from "./errors.ts";

/** A device tensor that has been closed, or whose executor has. */
export class TensorClosedError extends Error {
  override readonly name = "TensorClosedError";

  constructor() {
    super("the device tensor is closed: create another one");
  }
}

/** Device memory. Freed by `close()`, by the executor's `close()`, or when it is no longer reachable. */
export class DeviceTensor {
  readonly byteLength: number;
  private readonly addon: NativeAddon;
  private memory: MemoryHandle | undefined;

  constructor(addon: NativeAddon, memory: MemoryHandle, byteLength: number) {
    this.addon = addon;
    this.memory = memory;
    this.byteLength = byteLength;
  }

  /** The native handle. Throws TensorClosedError. */
  get handle(): MemoryHandle {
    if (this.memory === undefined) throw new TensorClosedError();
    return this.memory;
  }

  /** Copies `data` to the device at `byteOffset`. `data` must not change before the promise settles. */
  write(data: ArrayBufferView, byteOffset: number = 0): Promise<void> {
    const { addon, handle } = this;
    return awaiting(calling(() => addon.write(handle, byteOffset, data)));
  }

  /** Copies from the device at `byteOffset` until `target` is full. */
  async read<T extends ArrayBufferView>(target: T, byteOffset: number = 0): Promise<T> {
    const { addon, handle } = this;
    await awaiting(calling(() => addon.read(handle, byteOffset, target)));
    return target;
  }

  /** Sets every byte, behind the work that is already queued. */
  fill(byte: number): void {
    const { addon, handle } = this;
    calling(() => addon.fill(handle, byte));
  }

  /** Fills 16-bit elements with normal(0, 1) values that depend on the seed and the element's index alone. */
  fillNormal(seed: number, dtype: Dtype, elementOffset: number = 0, elements: number = this.byteLength / 2): void {
    const { addon, handle } = this;
    calling(() => addon.fillNormal(handle, elementOffset, elements, seed, dtype === "fp16" ? 1 : 0));
  }

  close(): void {
    if (this.memory !== undefined) this.addon.releaseMemory(this.memory);
    this.memory = undefined;
  }
}

/** 16-bit patterns of a tensor: taken as they are, or rounded to nearest even from floats. */
export function toBits(data: TensorData, dtype: Dtype): Uint16Array {
  if (data instanceof Uint16Array) return data;
  const convert = dtype === "fp16" ? float32ToFp16 : float32ToBf16;
  return convert(data instanceof Float32Array ? data : Float32Array.from(data));
}

/** Floats of 16-bit patterns. */
export function fromBits(bits: Uint16Array, dtype: Dtype): Float32Array {
  return dtype === "fp16" ? fp16ToFloat32(bits) : bf16ToFloat32(bits);
}

function float32ToBf16(data: Float32Array): Uint16Array {
  const words = new Uint32Array(data.buffer, data.byteOffset, data.length);
  const bits = new Uint16Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const word = words[i]!;
    const isNan = (word & 0x7fff_ffff) > 0x7f80_0000;
    bits[i] = isNan ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return bits;
}

function bf16ToFloat32(bits: Uint16Array): Float32Array {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
  return new Float32Array(words.buffer);
}

/** Multiplying by 2^-112 and adding a magic number would do it in two steps; this is exact for subnormals too. */
function float32ToFp16(data: Float32Array): Uint16Array {
  const bits = new Uint16Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const x = data[i]!;
    const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
    const magnitude = Math.abs(x);
    if (Number.isNaN(x)) bits[i] = 0x7e00;
    else if (magnitude >= 65520) bits[i] = sign | 0x7c00;
    else {
      const exponent = Math.max(-14, Math.min(15, Math.floor(Math.log2(magnitude))));
      const quantum = 2 ** ((magnitude < 2 ** exponent && exponent > -14 ? exponent - 1 : exponent) - 10);
      const steps = roundHalfEven(magnitude / quantum);
      // A rounded-up mantissa carries into the exponent: the patterns are consecutive.
      const base = Math.round(Math.log2(quantum)) + 24;
      bits[i] = sign | (base * 1024 + steps);
    }
  }
  return bits;
}

function roundHalfEven(x: number): number {
  const down = Math.floor(x);
  const rest = x - down;
  return rest > 0.5 || (rest === 0.5 && down % 2 === 1) ? down + 1 : down;
}

function fp16ToFloat32(bits: Uint16Array): Float32Array {
  return Float32Array.from(bits, (word) => {
    const sign = word & 0x8000 ? -1 : 1;
    const exponent = (word >> 10) & 0x1f;
    const fraction = word & 0x3ff;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
}
