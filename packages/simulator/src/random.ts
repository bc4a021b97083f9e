// Seeded random numbers: xoshiro128** (Blackman and Vigna, 2018), one independent stream per purpose, so that drawing
// more numbers for one thing never changes another.

/** A number in [0, 1) that follows from its arguments alone, as if drawn: no stream to keep in order. 32 bits. */
export function uniformOf(seed: number, purpose: string, a: number, b: number): number {
  let state = hashOf(purpose) ^ Math.imul(seed | 0, 0x9e3779b1) ^ Math.floor(seed / 2 ** 32);
  for (const value of [a, b]) state = mix((state ^ Math.imul(value | 0, 0x85ebca6b) ^ (value / 2 ** 32)) + 0x9e3779b9);
  return (mix(state) >>> 0) / 2 ** 32;
}

/** FNV-1a. */
function hashOf(purpose: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < purpose.length; i++) hash = Math.imul(hash ^ purpose.charCodeAt(i), 0x01000193);
  return hash;
}

/** The output function of splitmix32. */
function mix(state: number): number {
  let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
  return mixed ^ (mixed >>> 15);
}

export class RandomStream {
  #a = 0;
  #b = 0;
  #c = 0;
  #d = 0;

  /** The stream of a purpose: equal seed and purpose give equal numbers. */
  constructor(seed: number, purpose: string) {
    // splitmix32 over the seed and an FNV-1a hash of the purpose fills the state.
    let state = (hashOf(purpose) ^ Math.imul(seed | 0, 0x9e3779b1) ^ Math.floor(seed / 2 ** 32)) | 0;
    const next = (): number => {
      state = (state + 0x9e3779b9) | 0;
      return mix(state);
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    this.#d = next() | 1;
  }

  /** 32 random bits, as an unsigned integer. */
  bits(): number {
    const scaled = Math.imul(this.#b, 5);
    const result = Math.imul((scaled << 7) | (scaled >>> 25), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  /** Uniform over [0, 1), 53 bits. */
  uniform(): number {
    return ((this.bits() >>> 5) * 0x4000000 + (this.bits() >>> 6)) / 2 ** 53;
  }

  /** Uniform integer in [0, end). */
  integer(end: number): number {
    return Math.floor(this.uniform() * end);
  }

  exponential(mean: number): number {
    return -mean * Math.log1p(-this.uniform());
  }

  /** Standard normal, by Marsaglia's polar method. */
  normal(): number {
    for (;;) {
      const u = 2 * this.uniform() - 1;
      const v = 2 * this.uniform() - 1;
      const s = u * u + v * v;
      if (s > 0 && s < 1) return u * Math.sqrt((-2 * Math.log(s)) / s);
    }
  }

  /** Gamma distributed, by Marsaglia and Tsang (2000). */
  gamma(shape: number, scale: number): number {
    if (shape < 1) {
      // u^(1/shape): ** is not the same on every engine, exp and log are.
      const boost = Math.exp(Math.log(1 - this.uniform()) / shape);
      return this.gamma(shape + 1, scale) * boost;
    }
    const d = shape - 1 / 3;
    const c = 1 / Math.sqrt(9 * d);
    for (;;) {
      const x = this.normal();
      const v = 1 + c * x;
      const cube = v * v * v;
      if (cube <= 0) continue;
      if (Math.log(1 - this.uniform()) < 0.5 * x * x + d - d * cube + d * Math.log(cube)) return d * cube * scale;
    }
  }
}
