// layercake: the command line.

#include "common/base/logging.h"
#include "coordinator/cli/command.h"

int main(int argc, char** argv) {
  layercake::InitLogging(argv[0]);
  return layercake::RunCommandLine(argc, argv);
}
