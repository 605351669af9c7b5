# Run at every build (cmake -P): writes OUT, a source file that holds the version, and leaves it
# untouched when nothing changed, so that an unchanged tree relinks nothing.
execute_process(COMMAND git -C ${SOURCE_DIR} rev-parse --short=12 HEAD
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(commit unknown)
  set(commit_time "1970-01-01T00:00:00Z")
  set(dirty false)
else()
  execute_process(COMMAND git -C ${SOURCE_DIR} log -1 --format=%ct
    OUTPUT_VARIABLE seconds OUTPUT_STRIP_TRAILING_WHITESPACE)
  set(ENV{SOURCE_DATE_EPOCH} ${seconds})
  string(TIMESTAMP commit_time "%Y-%m-%dT%H:%M:%SZ" UTC)
  execute_process(COMMAND git -C ${SOURCE_DIR} status --porcelain --untracked-files=no
    OUTPUT_VARIABLE changes OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(changes)
    set(dirty true)
  else()
    set(dirty false)
  endif()
endif()
set(text "#include \"native/cli/version.h\"

namespace es::cli {

Version version() { return {\"${VERSION}\", \"${commit}\", \"${commit_time}\", ${dirty}}; }

}  // namespace es::cli
")
set(old "")
if(EXISTS ${OUT})
  file(READ ${OUT} old)
endif()
if(NOT text STREQUAL old)
  file(WRITE ${OUT} "${text}")
endif()
