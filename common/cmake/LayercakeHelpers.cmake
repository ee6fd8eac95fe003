# The few functions every room's CMakeLists.txt is written with.

# Flags of every target we compile ourselves. `layercake_flags` carries no include paths of
# third parties: those come from the libraries a target names.
add_library(layercake_flags INTERFACE)
target_compile_features(layercake_flags INTERFACE cxx_std_20)
target_include_directories(layercake_flags INTERFACE ${PROJECT_SOURCE_DIR})
# Contraction would let the compiler fuse differently in vector bodies and tails, and so break
# "same answer however it is cut"; kernels ask for fused multiply-add explicitly.
target_compile_options(layercake_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wpedantic;-Wno-missing-field-initializers;-ffp-contract=off>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${LAYERCAKE_WERROR}>>:-Werror>
  $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20;-Xcompiler=-Wall,-Wextra,-Wno-missing-field-initializers;--fmad=false;--expt-relaxed-constexpr>
  $<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${LAYERCAKE_WERROR}>>:-Werror=all-warnings;-Xcompiler=-Werror>)
if(LAYERCAKE_SANITIZE)
  # GCC's own checks cry wolf on code it has instrumented.
  target_compile_options(layercake_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:
    -fsanitize=${LAYERCAKE_SANITIZE};-fno-sanitize-recover=all;-fno-omit-frame-pointer
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>>)
  target_link_options(layercake_flags INTERFACE -fsanitize=${LAYERCAKE_SANITIZE})
endif()

# layercake_library(NAME SOURCES a.cc ... DEPS target ...)
# One static library per room, named as the room's path with underscores.
function(layercake_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC layercake_flags ${arg_DEPS})
endfunction()

# layercake_program(NAME SOURCES a.cc ... DEPS target ...): all programs land in <build>/bin.
function(layercake_program name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE layercake_flags ${arg_DEPS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endfunction()

# What an entry of ctest may take; sanitizers make it slow.
set(LAYERCAKE_TEST_SECONDS 600)
if(LAYERCAKE_SANITIZE)
  set(LAYERCAKE_TEST_SECONDS 3600)
endif()

# layercake_test(NAME LABEL unit|integration|golden [PARALLEL] SOURCES a_test.cc ... DEPS target ...)
# One binary and one ctest entry per room; the binary prints each test by name. PARALLEL is for one that computes on one
# thread and waits for nobody: it may run beside another such; the rest have deadlines, and the machine to themselves.
function(layercake_test name)
  cmake_parse_arguments(arg "PARALLEL" "LABEL" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE layercake_flags ${arg_DEPS} tests_testing GTest::gmock_main)
  target_compile_definitions(${name} PRIVATE
    LAYERCAKE_SOURCE_DIR="${PROJECT_SOURCE_DIR}" LAYERCAKE_BINARY_DIR="${CMAKE_BINARY_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${LAYERCAKE_TEST_SECONDS})
  if(NOT arg_PARALLEL)
    set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
    # What is compiled more often than it computes.
    target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)
  endif()
endfunction()

# layercake_protos(NAME a.proto ...): messages and gRPC stubs, without our warning flags.
function(layercake_protos name)
  set(generated "")
  set(out ${CMAKE_BINARY_DIR}/generated)
  file(MAKE_DIRECTORY ${out})
  foreach(proto ${ARGN})
    string(REGEX REPLACE "\\.proto$" "" base ${proto})
    set(files ${out}/${base}.pb.cc ${out}/${base}.pb.h ${out}/${base}.grpc.pb.cc ${out}/${base}.grpc.pb.h)
    add_custom_command(OUTPUT ${files}
      COMMAND protobuf::protoc --proto_path=${CMAKE_CURRENT_SOURCE_DIR} --cpp_out=${out}
              --grpc_out=${out} --plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin> ${proto}
      DEPENDS ${proto} VERBATIM)
    list(APPEND generated ${files})
  endforeach()
  add_library(${name} STATIC ${generated})
  target_compile_features(${name} PUBLIC cxx_std_20)
  target_include_directories(${name} SYSTEM PUBLIC ${out})
  target_link_libraries(${name} PUBLIC protobuf::libprotobuf gRPC::grpc++)
  if(LAYERCAKE_SANITIZE)
    target_compile_options(${name} PRIVATE -fsanitize=${LAYERCAKE_SANITIZE})
  endif()
endfunction()
