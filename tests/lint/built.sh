#!/bin/sh
# built.sh - every test and fuzz target is named in tests/CMakeLists.txt: what is not built is not tested.
# Run from the repository root.
set -eu
list=tests/CMakeLists.txt
fail=0
for file in $(git ls-files 'tests/**/test_*.c' 'tests/fuzz/fuzz_*.c' 'tests/tools/test_*.sh'); do
    name=${file#tests/}
    name=${name%.*}
    case $file in
    */fuzz/*) line="^ *lorac_fuzz(${name#fuzz/fuzz_})" ;;
    *.sh) line="foreach(name .*\<${name#tools/test_}\>\|/$name.sh" ;;
    *) line="^ *lorac_test($name " ;;
    esac
    grep -q "$line" $list || { echo "$file is not in $list"; fail=1; }
done
exit $fail
