#!/bin/sh
# headers.sh CC HEADER ... - each public header compiles alone, as C11, C17 and C++17, without a warning;
# includes public ones and the standard's own types, and shows no library that ours is built on; what it
# declares has C's names in C++, too. Run from the repository root. Skipped (77) behind the checks of C where
# there is no C++ compiler.
set -eu
cc=$1
shift

alone() { # COMPILER LANGUAGE STANDARD HEADER ...
    compiler=$1; language=$2; standard=$3
    shift 3
    for header in "$@"; do
        printf '#include "%s"\ntypedef int something;\n' "$header" |
            "$compiler" -x "$language" -std="$standard" -I. -Wall -Wextra -pedantic -Werror -fsyntax-only -
    done
}

alone "$cc" c c11 "$@"
alone "$cc" c c17 "$@"

for header in "$@"; do
    for seen in $(sed -n 's/^#[ ]*include [<"]\([^>"]*\)[>"].*/\1/p' "$header"); do
        case " $* stdbool.h stddef.h stdint.h " in *" $seen "*) continue ;; esac
        echo "$header includes $seen, which is neither public nor one of the standard's types"
        exit 1
    done
done
if seen=$(grep -nE '\b(json_t|yaml_[a-z]+_t|csv_parser|pcre2_[a-z]+)\b' "$@"); then
    echo "a public header shows another library:" "$seen"
    exit 1
fi

cxx=$(command -v c++) || { echo "skipped: no C++ compiler"; exit 77; }
alone "$cxx" c++ c++17 "$@"

# A reference to every function that is declared: a mangled name is one that stands outside of LORAC_API_BEGIN
# and LORAC_API_END, and misses in a program of C++ as in the shared library.
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for header in "$@"; do
    echo "#include \"$header\""
done > "$dir/all.cpp"
functions=$(cc -E -P -I. -x c "$dir/all.cpp" | grep -oE '\blorac_[a-z0-9_]+\(' | tr -d '(' |
    grep -v '_fn$' | sort -u)
[ "$(echo "$functions" | wc -l)" -gt 200 ] || { echo "too few functions found: $functions"; exit 1; }
{
    echo 'void (*all[])() = {'
    for name in $functions; do
        echo "    reinterpret_cast<void (*)()>($name),"
    done
    echo '};'
} >> "$dir/all.cpp"
"$cxx" -std=c++17 -I. -c "$dir/all.cpp" -o "$dir/all.o"
if mangled=$(nm -u "$dir/all.o" | grep '_Z.*lorac_'); then
    echo "not between LORAC_API_BEGIN and LORAC_API_END:" "$mangled"
    exit 1
fi
