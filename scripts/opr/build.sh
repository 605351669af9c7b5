# shellcheck shell=bash
# Builds with the presets of CMakePresets.json; all of it incremental.

# build_preset PRESET TITLE [TARGET...]
build_preset() {
  local preset=$1 title=$2
  shift 2
  local targets=()
  [ $# -eq 0 ] || targets=(--target "$@")
  step "building $title" cmake_build "$preset" "${targets[@]}" ||
    die "$title does not build."
}

cmake_build() {
  local preset=$1
  shift
  export CCACHE_SLOPPINESS=${CCACHE_SLOPPINESS:-pch_defines,time_macros}
  # A configured tree re-configures by itself when a CMake file changes.
  [ -f "build/$preset/build.ninja" ] || cmake --preset "$preset" || return
  cmake --build "build/$preset" -j "$jobs" "$@"
}

build_origin() { build_preset release "the origin" edgescale; }

build_edge() { build_preset edge "the edge module"; }

build_tests() { build_preset dev "the tests (sanitizers on)"; }
