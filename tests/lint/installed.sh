#!/bin/sh
# installed.sh - the library as those who use it have it: installed into a temporary folder, the release build and
# a shared library. The example programs are built against both, with pkg-config and with the CMake package, and
# run on the model that ships; a C++ program is, too, where there is a compiler. The shared library exports what
# the public headers declare and nothing else. Run from the repository root.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { echo "installed.sh: $*"; exit 1; }

cmake --preset release >/dev/null
cmake --build --preset release
cmake --install build/release --prefix "$dir/static" >/dev/null
cmake -S . -B "$dir/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON -DLORAC_TESTS=OFF >/dev/null
cmake --build "$dir/build" -j "$(nproc)" >/dev/null
cmake --install "$dir/build" --prefix "$dir/shared" >/dev/null
"$dir/static/bin/lorac" --version

exported=$(nm -D --defined-only "$(find "$dir/shared" -name 'liblorac.so')" | awk '{ print $3 }' | sort)
declared=$(echo '#include <lorac/recipes.h>' |
    cc -E -P -I"$dir/shared/include" -I"$dir/shared/include/lorac" -x c - | grep -v '^static inline' |
    grep -oE '\blorac_[a-z0-9_]+\(' | tr -d '(' | grep -v '_fn$' | sort -u)
for name in $exported; do
    grep -rqw "$name" "$dir/shared/include" || fail "the shared library exports $name, which no header declares"
done
for name in $declared; do
    echo "$exported" | grep -qx "$name" || fail "the shared library lacks $name"
done

cat > "$dir/plus.cpp" <<'C'
#include <lorac/base.h>
#include <lorac/datasets.h>
#include <lorac/lora.h>
#include <lorac/recipes.h>
int main()
{
    lorac_err err = {};
    lorac_predictor *p = nullptr;
    bool refused = lorac_predictor_open(&p, "no/such/folder", "none", &err) != LORAC_OK;
    lorac_predictor_free(p);
    return refused && err.text[0] ? 0 : 1;
}
C
cat > "$dir/CMakeLists.txt" <<'C'
cmake_minimum_required(VERSION 3.23)
project(user LANGUAGES C)
find_package(lorac REQUIRED)
foreach(name train classify)
    add_executable(${name} ${EXAMPLES}/${name}.c)
    target_link_libraries(${name} PRIVATE lorac::lorac)
endforeach()
C
head -n 61 datasets/examples/shop_intent/valid.csv > "$dir/few.csv"
for kind in static shared; do
    PKG_CONFIG_PATH=$(dirname "$(find "$dir/$kind" -name lorac.pc)")
    LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH")
    export PKG_CONFIG_PATH LD_LIBRARY_PATH
    # shellcheck disable=SC2046
    set -- $(pkg-config --cflags --libs $([ $kind = shared ] || echo --static) lorac)
    for name in train classify; do
        cc -std=c17 -Wall -Wextra -Werror "tools/examples/$name.c" -o "$dir/$kind/$name" "$@"
    done
    if command -v c++ >/dev/null; then
        c++ -std=c++17 -Wall -Wextra -pedantic -Werror "$dir/plus.cpp" -o "$dir/$kind/plus" "$@"
        "$dir/$kind/plus"
    fi
    cmake -S "$dir" -B "$dir/$kind/build" -DCMAKE_PREFIX_PATH="$dir/$kind" -DEXAMPLES="$PWD/tools/examples" >/dev/null
    cmake --build "$dir/$kind/build" >/dev/null
    "$dir/$kind/train" base/models/small "$dir/few.csv" "$dir/$kind/adapter"
    "$dir/$kind/build/classify" base/models/small "$dir/$kind/adapter" "dov'è il mio pacco?" > "$dir/$kind/answer"
    cat "$dir/$kind/answer"
done
cmp "$dir/static/adapter/adapter_model.safetensors" "$dir/shared/adapter/adapter_model.safetensors"
[ "$(wc -l < "$dir/static/answer")" -eq 10 ] || fail "expected the 10 labels of shop_intent"
echo "installed.sh: all programs ran"
