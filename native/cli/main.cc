#include "native/cli/app.h"

int main(int argc, char** argv) { return es::cli::run(argc, argv); }
