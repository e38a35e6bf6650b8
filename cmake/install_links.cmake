# Run at install time with DUML_SYMLINK: links the Python sub-packages and data into the prefix.
# In: source_dir, python_dir, share_dir, python_entries, share_entries,
# package_name.

function(duml_link source link)
  if(EXISTS "${link}" AND NOT IS_SYMLINK "${link}")
    file(REMOVE_RECURSE "${link}") # a copy left by an install without DUML_SYMLINK
  endif()
  file(CREATE_LINK "${source}" "${link}" SYMBOLIC)
  message(STATUS "Linking: ${link}")
endfunction()

# Links to sub-packages that are gone would stay; links to other places are another's.
file(GLOB installed "${python_dir}/*")
foreach(entry IN LISTS installed)
  if(IS_SYMLINK "${entry}")
    file(READ_SYMLINK "${entry}" target)
    string(FIND "${target}" "${source_dir}/${package_name}/" position)
    if(position EQUAL 0)
      file(REMOVE "${entry}")
    endif()
  endif()
endforeach()

foreach(entry IN LISTS python_entries)
  duml_link("${source_dir}/${package_name}/${entry}" "${python_dir}/${entry}")
endforeach()
# Folders with links to files in them: ros2 launch does not look for launch files in linked folders.
foreach(entry IN LISTS share_entries)
  set(folder "${share_dir}/${entry}")
  if(IS_SYMLINK "${folder}")
    file(REMOVE "${folder}") # of an older install; its target must stay
  endif()
  file(REMOVE_RECURSE "${folder}")
  file(GLOB_RECURSE files RELATIVE "${source_dir}/${entry}" "${source_dir}/${entry}/*")
  list(FILTER files EXCLUDE REGEX "__pycache__")
  foreach(file IN LISTS files)
    get_filename_component(parent "${folder}/${file}" DIRECTORY)
    file(MAKE_DIRECTORY "${parent}")
    duml_link("${source_dir}/${entry}/${file}" "${folder}/${file}")
  endforeach()
endforeach()
