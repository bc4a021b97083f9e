// Options as values: what a flag's text must be, said in one line when it is not.

import type { ServiceLevel } from "@isochron/simulator";
import { InputError, unknownName } from "./errors.ts";

type Parser<T> = (text: string) => T;

/** An integer from `low` to `high`. */
export function integerOption(flag: string, low: number, high: number = Number.MAX_SAFE_INTEGER): Parser<number> {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isInteger(value) || value < low || value > high) {
      const isUnbounded = high === Number.MAX_SAFE_INTEGER && !(value > high);
      const range = isUnbounded ? `an integer of at least ${low}` : `an integer from ${low} to ${high}`;
      throw new InputError(`${flag}: found "${text}", expected ${range}`);
    }
    return value;
  };
}

/** The name of a file or folder. */
export function pathOption(flag: string): Parser<string> {
  return (text) => {
    if (text.trim() === "") throw new InputError(`${flag}: found "${text}", expected a path`);
    return text;
  };
}

/** A finite number above zero. */
export function positiveOption(flag: string): Parser<number> {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value) || value <= 0) {
      throw new InputError(`${flag}: found "${text}", expected a number above 0`);
    }
    return value;
  };
}

/** A finite number of at least zero. */
export function nonNegativeOption(flag: string): Parser<number> {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value) || value < 0) {
      throw new InputError(`${flag}: found "${text}", expected a number of at least 0`);
    }
    return value;
  };
}

/** A number from 0 to 1. */
export function unitOption(flag: string): Parser<number> {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !(value >= 0 && value <= 1)) {
      throw new InputError(`${flag}: found "${text}", expected a number from 0 to 1`);
    }
    return value;
  };
}

/** A number above 0, at most 1. */
export function shareOption(flag: string): Parser<number> {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !(value > 0 && value <= 1)) {
      throw new InputError(`${flag}: found "${text}", expected a number above 0 and at most 1`);
    }
    return value;
  };
}

const LIMITS = { ttft: "ttftMs", tpot: "tpotMs", e2e: "e2eMs" } as const;

/** `ttft=500,tpot=50`: limits in milliseconds. */
export function serviceLevelOption(flag: string): Parser<ServiceLevel> {
  return (text) => {
    const level: { -readonly [Name in keyof ServiceLevel]: ServiceLevel[Name] } = {};
    for (const part of text.split(",")) {
      const [name = "", value = ""] = part.split("=").map((word) => word.trim());
      if (name === "") throw new InputError(`${flag}: found "${text}", expected limits in ms such as ttft=500,tpot=50`);
      if (!Object.hasOwn(LIMITS, name)) throw unknownName(`${flag}: unknown limit`, name, Object.keys(LIMITS));
      const limit = LIMITS[name as keyof typeof LIMITS];
      if (level[limit] !== undefined) throw new InputError(`${flag}: found ${name} twice, expected each limit once`);
      level[limit] = positiveOption(`${flag} ${name}`)(value);
    }
    return level;
  };
}

/** One of the names of a table; `what` says what they are names of. */
export function nameOption<Name extends string>(flag: string, what: string, names: readonly Name[]): Parser<Name> {
  return (text) => {
    const found = names.find((name) => name === text);
    if (found === undefined) throw unknownName(`${flag}: unknown ${what}`, text, names);
    return found;
  };
}
