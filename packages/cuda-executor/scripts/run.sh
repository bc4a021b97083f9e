#!/bin/sh
# Runs the executor's checks and benchmarks from the bundle. Needs a driver; with ISOCHRON_REBUILD=1 also nvcc and cmake.
#   run.sh test [--scale F] [--only TEXT] | bench [--cases FILE] [--sections LIST] [--match TEXT] [--out FILE] | gather | host | invariant | profile | calibrate [--out FILE] | replay TRACE … | timelines [FILE] | node SCRIPT …
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here"
package=$here/node_modules/@isochron/cuda-executor
addon=$package/build/Release/isochron_cuda.node
if [ ! -x node ]; then
  { xz -dk node.xz || python3 -c "import lzma,shutil;shutil.copyfileobj(lzma.open('node.xz'),open('node','wb'))"; } 2>/dev/null
  chmod +x node
fi
if [ "${ISOCHRON_REBUILD:-0}" = 1 ] || ! ./node -e "require(process.argv[1])" "$addon" 2>/dev/null; then
  ISOCHRON_CUDA_ARCH=${ISOCHRON_CUDA_ARCH:-native} cmake -S "$package" -B "$package/build" \
    -DNODE_API_INCLUDE_DIRS="$here/include/node-api;$here/include/node-addon-api" >build.log
  cmake --build "$package/build" -j >>build.log
  find "$package/build" -name isochron_cuda.node ! -path '*/Release/*' -exec cp {} "$addon" \;
fi
ISOCHRON_COMMIT=$(cat commit)
export ISOCHRON_COMMIT
command=${1:-test}
[ $# -gt 0 ] && shift
case $command in
  test) exec ./node "$package/dist/bench/test.js" "$@" ;;
  bench) exec ./node "$package/dist/bench/bench.js" "$@" ;;
  gather | host | invariant | profile) exec ./node "$package/dist/bench/$command.js" "$@" ;;
  calibrate) exec ./node "$here/node_modules/isochron/bin/isochron.js" calibrate "$@" ;;
  replay) exec ./node "$here/node_modules/isochron/bin/isochron.js" replay --step-timer cuda "$@" ;;
  timelines) exec ./node "$here/timelines.mjs" "$@" ;;
  node) exec ./node "$@" ;;
  *) echo "run.sh: unknown command $command, expected test, bench, gather, host, invariant, profile, calibrate, replay, timelines or node" >&2; exit 2 ;;
esac
