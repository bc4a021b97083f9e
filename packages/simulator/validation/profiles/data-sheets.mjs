// GPUs of which there is nothing but a data sheet.

import { GIB, MIB } from "./numbers.mjs";
import { scaled } from "./scaled.mjs";

export const a100 = scaled({
  name: "a100-sxm",
  title: "NVIDIA A100 SXM4 80 GB",
  when: "2021",
  sms: 108,
  clockMHz: 1410,
  l2Bytes: 40 * MIB,
  memoryBytes: 80 * GIB,
  linkGBps: 300,
  gbps: 2039,
  tflops: 312,
});

export const b200 = scaled({
  name: "b200",
  title: "NVIDIA B200 180 GB",
  when: "2024",
  sms: 148,
  clockMHz: 1965,
  l2Bytes: 126 * MIB,
  memoryBytes: 180 * GIB,
  linkGBps: 900,
  gbps: 8000,
  tflops: 2250,
  fp8: 4500,
});

export const l40s = scaled({
  name: "l40s",
  title: "NVIDIA L40S 48 GB",
  when: "2023",
  sms: 142,
  clockMHz: 2520,
  l2Bytes: 96 * MIB,
  memoryBytes: 48 * GIB,
  linkGBps: 32,
  gbps: 864,
  tflops: 362,
  fp8: 733,
});

export const rx7900 = scaled({
  name: "rx-7900-xtx",
  title: "AMD Radeon RX 7900 XTX 24 GB",
  by: "AMD",
  when: "2022",
  sms: 96,
  clockMHz: 2500,
  l2Bytes: 96 * MIB,
  memoryBytes: 24 * GIB,
  linkGBps: 32,
  gbps: 960,
  tflops: 123,
});
