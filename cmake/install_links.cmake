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
foreach(entry IN LISTS share_entries)
  duml_link("${source_dir}/${entry}" "${share_dir}/${entry}")
endforeach()
