# How every target of this project is made: one static library a room, listed sources, no globs.
# A room's CMakeLists.txt is its list of dependencies; tests/arch holds the arrows.

option(ES_WERROR "Treat warnings as errors" OFF)
option(ES_LIBFUZZER "Link fuzz targets with libFuzzer (clang)" OFF)
option(ES_BENCH "Build the benchmarks" OFF)
set(ES_SANITIZE "" CACHE STRING "Value for -fsanitize, empty for none")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
if(NOT EMSCRIPTEN)  # a WebAssembly module is placed once: no table of offsets
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
endif()
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

find_program(ES_CCACHE ccache)
if(ES_CCACHE AND NOT EMSCRIPTEN)
  # Paths relative to the tree, so that every checkout on a machine shares what was compiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}
    CCACHE_NOHASHDIR=true ${ES_CCACHE})
endif()

add_library(es_flags INTERFACE)
target_include_directories(es_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(es_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
  -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough)
# GCC 12 takes "literal" + std::string for overlapping memory when it optimises (GCC bug 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(es_flags INTERFACE -Wno-restrict)
endif()
if(ES_WERROR)
  target_compile_options(es_flags INTERFACE -Werror)
endif()
if(ES_SANITIZE)
  target_compile_options(es_flags INTERFACE -fsanitize=${ES_SANITIZE} -fno-sanitize-recover=all
    -fno-omit-frame-pointer)
  target_link_options(es_flags INTERFACE -fsanitize=${ES_SANITIZE})
endif()
# Clang before 17 cannot emit a coroutine with what this check puts in front of every function.
if(ES_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 17)
  target_compile_options(es_flags INTERFACE -fno-sanitize=function)
endif()
if(ES_SANITIZE STREQUAL "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Asio's fences; what they order is ordered by mutexes that the sanitizer does see.
  target_compile_options(es_flags INTERFACE -Wno-tsan)
endif()
if(ES_LIBFUZZER)
  target_compile_options(es_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# What runs inside WebAssembly must build without exceptions and RTTI; natively too, so that a
# stray throw fails the native build as well.
add_library(es_pure INTERFACE)
target_link_libraries(es_pure INTERFACE es_flags)
target_compile_options(es_pure INTERFACE
  $<BUILD_INTERFACE:-fno-exceptions> $<BUILD_INTERFACE:-fno-rtti>)

# es_library(NAME SOURCES ... DEPS ... [PURE]): the static library of one room.
function(es_library name)
  cmake_parse_arguments(ARG "PURE" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC es_flags ${ARG_DEPS})
  if(ARG_PURE)
    target_link_libraries(${name} PRIVATE es_pure)
  endif()
endfunction()

# es_test(NAME SOURCES ... DEPS ... [ARGS ...]): a Catch2 program, run by ctest with ARGS.
function(es_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;ARGS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE es_catch_main ${ARG_DEPS})
  add_test(NAME ${name} COMMAND ${name} ${ARG_ARGS} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
endfunction()

# es_fuzz(NAME SOURCES ... DEPS ... [ARGS ...]): a LLVMFuzzerTestOneInput target. With ES_LIBFUZZER it is a
# libFuzzer program; otherwise an ordinary main runs it over tests/fuzz/corpus/NAME and over
# mutations of it (a seed is logged), so that ctest runs every target.
add_custom_target(es_fuzz_targets)  # all of them
function(es_fuzz name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;ARGS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE es_flags ${ARG_DEPS})
  add_dependencies(es_fuzz_targets ${name})
  if(ES_LIBFUZZER)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_link_libraries(${name} PRIVATE es_fuzz_main)
    add_test(NAME ${name} COMMAND ${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name}
      ${ARG_ARGS})
  endif()
endfunction()

# es_bench(NAME SOURCES ... DEPS ...): a benchmark program, built only with ES_BENCH.
function(es_bench name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  if(ES_BENCH)
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE es_flags ${ARG_DEPS})
  endif()
endfunction()
