"""The ground floor: what every package of ours may import, and which imports nothing of ours.

errors           the root of all errors for people, and the exit codes    suggest        "Did you mean X?"
bounded_readers  files that a user names: regular, of a size, parsed      typed_json     JSON into dataclasses
atomic_write     files and directories that are whole or not there        rules          MLPerf's official numbers
people_numbers   numbers as people read them                              cpu_info       /proc/cpuinfo, x86 and ARM
foreign_text     text from strangers, for a terminal and for spreadsheets
array_files      .npy and .npz files
arrays           the array types that cross between packages              telemetry      usage reports of libraries
file_stamps      whether a file is still the one that was opened          terminal       stdout and stderr
program          the outermost frame: what was not caught
held_directory   temporary directories, and those that a kill has left
"""
