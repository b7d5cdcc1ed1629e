#!/bin/sh
# package.sh - the Debian package of the release build: what it needs, where its files lie, and that its program
# starts. Skipped where the tools that make one are not there. Run from the repository root, behind installed.sh.
set -eu
for tool in cpack dpkg-deb dpkg-shlibdeps file; do # cpack asks file for the programs
    command -v $tool >/dev/null || { echo "package.sh: skipped, no $tool"; exit 0; }
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cmake --preset release >/dev/null
cmake --build --preset release >/dev/null
cpack --config build/release/CPackConfig.cmake -B "$dir" >/dev/null
deb=$(find "$dir" -maxdepth 1 -name "lorac_*.deb")
needs=$(dpkg-deb -f "$deb" Depends)
for package in "libopenblas0-openmp | libopenblas0" libc6 libcsv libedit libgomp1 libjansson4 libmicrohttpd libpcre2 libutf8proc libyaml; do
    case $needs in *"$package"*) ;; *) echo "$deb does not need $package: $needs"; exit 1 ;; esac
done
held=$(dpkg-deb -c "$deb")
for file in bin/lorac share/man/man1/lorac.1.gz share/man/man1/lorac-train.1.gz include/lorac/lora.h \
    share/bash-completion/completions/lorac share/zsh/vendor-completions/_lorac share/doc/lorac/copyright; do
    case $held in *" ./usr/$file"*) ;; *) echo "$deb lacks /usr/$file"; exit 1 ;; esac
done
dpkg-deb -x "$deb" "$dir/unpacked"
"$dir/unpacked/usr/bin/lorac" --version
echo "package.sh: $(basename "$deb") is whole"
