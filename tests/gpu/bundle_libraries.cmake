# Run at installation: puts the shared libraries of the programs in bin/ beside them, in lib/, and
# those of the C library, with its loader, in lib/glibc/: `launch` uses them only where the host's
# own are too old.
set(root ${CMAKE_INSTALL_PREFIX})
if(DEFINED ENV{DESTDIR})
  set(root $ENV{DESTDIR}${CMAKE_INSTALL_PREFIX})
endif()
file(GLOB programs ${root}/bin/*)
file(GET_RUNTIME_DEPENDENCIES EXECUTABLES ${programs} RESOLVED_DEPENDENCIES_VAR libraries)
foreach(library ${libraries})
  set(folder lib)
  if(library MATCHES "/(ld-linux[^/]*|lib(c|m|dl|rt|pthread|resolv|util|anl|mvec))\\.so\\.[0-9]+$")
    set(folder lib/glibc)
  endif()
  # Under the name that programs ask for, and no links, which not every way of copying keeps.
  get_filename_component(name ${library} NAME)
  configure_file(${library} ${root}/${folder}/${name} COPYONLY USE_SOURCE_PERMISSIONS)
endforeach()
