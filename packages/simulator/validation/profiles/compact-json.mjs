// JSON with arrays of numbers, pairs and quantities on one line each.

export function compactJson(value) {
  return JSON.stringify(value, null, 2)
    .replace(/\[\s+([-\d.e]+),\s+([-\d.e]+)\s+\]/g, "[$1, $2]")
    .replace(/\{\s+"value": ([-\d.e]+),\s+"source": ("[^"]*")\s+\}/g, '{ "value": $1, "source": $2 }')
    .replace(/(\[[-\d.e]+, [-\d.e]+\],)\s+(?=\[)/g, "$1 ")
    .replace(/\[\s+(\[[^\]]*\](?:, \[[^\]]*\])*)\s+\]/g, "[$1]");
}
