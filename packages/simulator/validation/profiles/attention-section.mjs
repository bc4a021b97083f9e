// The latencies of a piece that all kernels without measurements of their own have.

export const pieceSection = (source) => ({
  startUs: { value: 2.5, source },
  nextStartUs: { value: 2.5, source },
  writeOutUs: { value: 1.2, source },
});
