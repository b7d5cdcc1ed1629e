#!/bin/sh
# installed.sh - installs the release build into a temporary folder and compiles a program against it twice:
# with pkg-config and with the CMake package. Run from the repository root.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cmake --preset release >/dev/null
cmake --build --preset release
cmake --install build/release --prefix "$dir/usr" >/dev/null
"$dir/usr/bin/lorac" --version

cat > "$dir/main.c" <<'C'
#include <lorac/base.h>
#include <lorac/datasets.h>
#include <lorac/lora.h>
#include <lorac/recipes.h>
#include <stdio.h>
int main(void)
{
    struct lorac_err err = {0};
    struct lorac_device dev;
    if (lorac_device_open(&dev, NULL, 1, &err)) {
        puts(err.text);
        return 1;
    }
    printf("backend %s\n", dev.ops->name);
    struct lorac_model *m = NULL;
    int refused = lorac_model_open(&m, &dev, "no/such/folder", &err) != LORAC_OK;
    lorac_device_close(&dev);
    return !refused;
}
C
PKG_CONFIG_PATH=$(dirname "$(find "$dir/usr" -name lorac.pc)")
export PKG_CONFIG_PATH
# shellcheck disable=SC2046
cc -std=c17 "$dir/main.c" -o "$dir/with_pkgconfig" $(pkg-config --cflags --libs --static lorac)
"$dir/with_pkgconfig"

cat > "$dir/CMakeLists.txt" <<'C'
cmake_minimum_required(VERSION 3.23)
project(user LANGUAGES C)
find_package(lorac REQUIRED)
add_executable(with_cmake main.c)
target_link_libraries(with_cmake PRIVATE lorac::lorac)
C
cmake -S "$dir" -B "$dir/build" -DCMAKE_PREFIX_PATH="$dir/usr" >/dev/null
cmake --build "$dir/build" >/dev/null
"$dir/build/with_cmake"
echo "installed.sh: both programs ran"
