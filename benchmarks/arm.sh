#!/usr/bin/env bash
# Linux on ARM without an ARM machine: installs the package in an emulated arm64 root as docs/guide/arm.md says, tests its
# kernels in C++ on each kind of processor, and runs the demo's accuracy and a short performance run for every combination
# of backend and precision; compares the F1.
#
#     sudo benchmarks/arm.sh ROOT_DIRECTORY            # all steps; those that are done are skipped
#
# Requirements and findings: benchmarks/arm.md. Settings, as environment variables:
#
#     COMBINATIONS="onnxruntime:fp32 pytorch:fp32"     what to run (default: the list below)
#     CPUS="max neoverse-n1"                           qemu's, on which kernels are tested (default: below)
#     TESTS=tests/unit/backends/test_int8_attention.py with which (default: below)
#     PYTHON=.venv/bin/python                          this machine's Python with the package, for its F1
#     QUESTIONS=1200                                   of a generated set (default: 240; a question takes seconds)
#     MIRROR=URL                                       Debian's mirror (default: the one that apt uses here)
#     PRIORITY=normal                                  (default: idle, which leaves the cores to others)
set -euo pipefail

COMBINATIONS=${COMBINATIONS:-onnxruntime:fp32 onnxruntime:int8 pytorch:fp32 pytorch:bf16 pytorch:int8}
SUITE=bookworm                       # its Python is 3.11
PACKAGES=python3,python3-venv,python3-dev,g++,ca-certificates
TORCH=${TORCH:-2.10.0}               # the newest whose wheel for Linux on ARM does not include CUDA
PYTHON=${PYTHON:-python3}
QUESTIONS=${QUESTIONS:-240}
TOLERANCE=${TOLERANCE:-$(awk "BEGIN { print 100 / $QUESTIONS + 0.01 }")}  # points of F1: one question's worth
# Vectors as wide as Graviton3's; its bf16 and int8 matrix instructions are in `max`.
QEMU_CPU=${QEMU_CPU:-max,sme=off,sve-default-vector-length=32}
CPUS=${CPUS:-$QEMU_CPU neoverse-n1 a64fx}  # with i8mm, with dot products of bytes alone, with neither
KERNEL_TESTS=$(echo tests/unit/backends/test_{int8_product,int8_attention,sparse_product}.py)
TESTS=${TESTS:-$KERNEL_TESTS}
FEATURES='fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3 sm3 sm4
asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs dcpodp svei8mm svebf16 i8mm bf16 dgh rng'
FEATURES=${FEATURES//$'\n'/ }
PERFORMANCE_QUERIES=${PERFORMANCE_QUERIES:-8}

CHECKOUT=$(cd "$(dirname "$0")/.." && pwd)
HERE=opt/sut                         # of the checkout, below the root

fail() { printf 'error: %s\n' "$*" >&2; exit 3; }
say() { printf '%s  %s\n' "$(date +%H:%M:%S)" "$*"; }

[ $# -eq 1 ] || { sed -n '2,16s/^# \{0,1\}//p' "$0"; exit 2; }
[ "$(id -u)" = 0 ] || fail "expected root, to mount and to change root; found user $(id -un). Type: sudo $0 $1"
mkdir -p "$1" || fail "expected a directory to build in, found that $1 cannot be made."
ROOT=$(cd "$1" && pwd)
[ "$ROOT" != / ] || fail "expected a directory of its own for the arm64 root, found /."
DONE="$ROOT.steps"                   # next to the root, because debootstrap needs it empty
mkdir -p "$DONE"

# Emulation uses every core for an hour; idle priority leaves them to other processes. If the kernel shares time among
# sessions first (autogroup), the weight of this session counts.
IDLE=()
if [ "${PRIORITY:-idle}" = idle ]; then
    if [ -w /proc/$$/autogroup ]; then echo 19 2> /dev/null > /proc/$$/autogroup || true; fi
    IDLE=(nice -n 19)
    if command -v chrt > /dev/null && chrt -i 0 true 2> /dev/null; then IDLE=(chrt -i 0 nice -n 19); fi
fi

inside() {  # a command in the root, with an environment of its own
    "${IDLE[@]}" chroot "$ROOT" /usr/bin/env -i PATH=/opt/venv/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/root LANG=C.UTF-8 \
        QEMU_CPU="$QEMU_CPU" ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
        sh -c "cd /$HERE 2> /dev/null; exec \"\$@\"" sh "$@"
}

step() {  # name, key, function: done once per key, which is all that decides the step's outcome
    local name=$1 key=$2
    if [ "$(cat "$DONE/$name" 2> /dev/null)" = "$key" ]; then say "$name: done before"; return; fi
    say "$name …"
    "$3" > "$DONE/$name.log" 2>&1 || fail "step '$name' failed; the end of $DONE/$name.log:
$(tail -n 15 "$DONE/$name.log")"
    printf '%s\n' "$key" > "$DONE/$name"
}

host_tools() {
    if ! command -v debootstrap || ! command -v qemu-aarch64-static; then
        apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y debootstrap qemu-user-static binfmt-support
    fi
}

emulation() {  # the kernel hands arm64 programs to qemu; asked every time, because a restart forgets it
    local known=/proc/sys/fs/binfmt_misc
    [ -e $known/status ] || mount -t binfmt_misc binfmt_misc $known || fail "expected binfmt_misc, found that this kernel has none."
    [ -e $known/qemu-aarch64 ] || update-binfmts --enable qemu-aarch64 || true
    grep -q '^flags:.*F' $known/qemu-aarch64 2> /dev/null ||
        fail "expected qemu-aarch64 registered with flag F in $known. Type: apt-get install --reinstall qemu-user-static"
}

base() {  # a half-made root cannot be continued
    [ -z "$(ls -A "$ROOT")" ] || [ -d "$ROOT/debootstrap" ] ||
        { echo "expected $ROOT empty or begun by this script, found other files. Give another directory."; return 1; }
    find "$ROOT" -mindepth 1 -delete
    "${IDLE[@]}" debootstrap --arch=arm64 --variant=minbase --include="$PACKAGES" "$SUITE" "$ROOT" "$(mirror)"
}

mirror() {
    local found=${MIRROR:-}
    # shellcheck disable=SC2016 # apt's own placeholders
    [ -n "$found" ] || found=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Origin: Debian' "Codename: $SUITE" | head -n 1)
    echo "${found:-http://deb.debian.org/debian}"
}

bind() {
    emulation
    trap unbind EXIT
    mount -t proc proc "$ROOT/proc"
    cpuinfo > "$DONE/cpuinfo"        # engines read it to choose kernels, and some crash on an x86 processor's
    mount --bind "$DONE/cpuinfo" "$ROOT/proc/cpuinfo"
    mount --bind /sys "$ROOT/sys"
    mount --bind /dev "$ROOT/dev"
    mount -t tmpfs tmpfs "$ROOT/dev/shm"
    cp -L /etc/resolv.conf /etc/hosts "$ROOT/etc/"
}

cpuinfo() {  # what Linux says on a Graviton3, for as many cores as there are here
    local core
    for core in $(seq 0 $(($(getconf _NPROCESSORS_ONLN) - 1))); do
        printf '%s\t: %s\n' processor "$core" BogoMIPS 2100.00 Features "$FEATURES" 'CPU implementer' 0x41 \
            'CPU architecture' 8 'CPU variant' 0x1 'CPU part' 0xd40 'CPU revision' 1
        echo
    done
}

unbind() {
    local place
    for place in dev/shm dev sys proc/cpuinfo proc; do
        if mountpoint -q "$ROOT/$place"; then umount "$ROOT/$place" || umount -l "$ROOT/$place"; fi
    done
}

pip_settings() {  # pip's settings on this machine without paths of its files; its certificates are copied
    local cert
    cert=$("$PYTHON" -m pip config list | sed -n "s/^[^=]*\.cert='\(.*\)'$/\1/p" | head -n 1)
    {
        echo '[global]'
        "$PYTHON" -m pip config list | grep -v file: |
            sed -n "s/^.*\.\(index-url\|extra-index-url\|trusted-host\|proxy\|timeout\|default-timeout\)='\(.*\)'$/\1 = \2/p" | sort -u
        [ -z "$cert" ] || { cp -L "$cert" "$ROOT/etc/ssl/host.crt"; echo 'cert = /etc/ssl/host.crt'; }
    } > "$ROOT/etc/pip.conf"
    cat "$ROOT/etc/pip.conf"
}

checkout() {  # the files that git knows or would know, as they are now
    mkdir -p "$ROOT/$HERE"
    git -C "$CHECKOUT" -c safe.directory="$CHECKOUT" ls-files -z --cached --others --exclude-standard |
        tar -C "$CHECKOUT" --null --ignore-failed-read -T - -cf - | tar -C "$ROOT/$HERE" --no-same-owner -xf -
}

environment() {
    inside rm -rf /opt/venv
    inside python3 -m venv /opt/venv
    inside python -m pip install --upgrade pip
}

install() {  # as docs/guide/arm.md says, but for torch's version
    echo "torch==$TORCH" > "$ROOT/opt/constraints.txt"
    inside python -m pip install --constraint /opt/constraints.txt --editable '.[pytorch]' pytest hypothesis
}

kernel_tests() {  # on the processor CPU; warnings are those of this torch
    # shellcheck disable=SC2086 # several files
    QEMU_CPU=$CPU inside env OMP_WAIT_POLICY=passive python -m pytest -p no:cacheprovider -o filterwarnings= $TESTS
}

sources_key() { (cd "$CHECKOUT" && cat pyproject.toml setup.py $(git ls-files '*.cpp' '*.h' '*.c') 2> /dev/null; echo "$TORCH") | sha256sum; }

tests_key() { (cd "$CHECKOUT" && sources_key && git ls-files -z 'backends/*.py' 'foundation/*' 'tests/support/*' 'tests/unit/backends/*' | xargs -0 sha256sum) | sha256sum; }

figure() { "$PYTHON" -c 'import json, sys; r = json.load(open(sys.argv[1])); print(r["verdict"], r["result"].get("f1") or "")' "$1/run.json"; }

flags_of() { echo --backend "${1%%:*}" --precision "${1##*:}"; }

last_line() { grep -v '^$' "$1" | tail -n 1; }

run_one() {  # combination, "here" or "arm", mode → run.json's folder; the combination's words go to its log
    local combination=$1 where=$2 mode=$3 name="${1/:/-}-$2-$3" log_dir
    log_dir="$DONE/$name"
    [ ! -f "$log_dir/done" ] || return 0
    rm -rf "$log_dir"
    local -a flags
    read -r -a flags <<< "$(flags_of "$combination")"
    # Waiting threads spin, which is expensive when emulated; a warm-up is a few batches of any size.
    flags+=(--mode "$mode" --threads 1 --max-batch-tokens 384 --dataset "$DONE/dev.json" --calibration-samples 2)
    if [ "$mode" = performance ]; then flags+=(--test-query-count "$PERFORMANCE_QUERIES"); fi
    if [ "$where" = arm ]; then
        rm -rf "$ROOT/tmp/run"
        mkdir -p "$ROOT$DONE" && cp "$DONE/dev.json" "$ROOT$DONE/"  # the same name on both sides
        inside python -m sut "${flags[@]}" --log-dir /tmp/run > "$log_dir.log" 2>&1 || return 1
        mv "$ROOT/tmp/run" "$log_dir"
    else
        (cd "$CHECKOUT" && "${IDLE[@]}" "$PYTHON" -m sut "${flags[@]}" --log-dir "$log_dir") > "$log_dir.log" 2>&1 || return 1
    fi
    touch "$log_dir/done"
}

agree() { "$PYTHON" -c 'import sys; a, b, t = map(float, sys.argv[1:]); sys.exit(abs(a - b) > t)' "$1" "$2" "$TOLERANCE"; }

compare() {  # runs one combination; prints its row; false when it failed or F1 differs
    local combination=$1 arm here run words=same
    for run in arm:accuracy arm:performance; do
        if ! run_one "$combination" "${run%%:*}" "${run##*:}"; then
            say "$combination: $run FAILED: $(last_line "$DONE/${combination/:/-}-${run/:/-}.log")"
            return 1
        fi
    done
    read -r _ arm <<< "$(figure "$DONE/${combination/:/-}-arm-accuracy")"
    if run_one "$combination" here accuracy; then
        read -r _ here <<< "$(figure "$DONE/${combination/:/-}-here-accuracy")"
        agree "$arm" "$here" || words=DIFFERENT
    else
        here="none: $(last_line "$DONE/${combination/:/-}-here-accuracy.log")" words='not compared'
    fi
    say "$combination: F1 on arm64 $arm, here $here: $words; performance run $(figure "$DONE/${combination/:/-}-arm-performance")"
    [ "$words" != DIFFERENT ]
}

main() {  # a function, so that the file may change while it runs
    step host-tools "$PACKAGES" host_tools
    emulation
    step base "$SUITE $PACKAGES" base
    bind
    step pip-settings "$("$PYTHON" -m pip config list | sha256sum)" pip_settings
    step checkout "$(date +%s)" checkout
    step environment "$SUITE" environment
    step install "$(sources_key)" install
    local failed=0 combination CPU
    for CPU in $CPUS; do
        (step "tests-$CPU" "$(tests_key) $TESTS" kernel_tests) || failed=1
        say "kernels on $CPU: $(last_line "$DONE/tests-$CPU.log")"
    done
    # Other sources are other runs.
    local runs_key
    runs_key=$(cd "$CHECKOUT" && git ls-files -z 'sut/*' 'backends/*' 'qsl/*' 'accuracy/*' 'assets/*' | xargs -0 sha256sum | sha256sum)$QUESTIONS
    if [ "$(cat "$DONE/runs" 2> /dev/null)" != "$runs_key" ]; then
        rm -rf "$DONE"/*-accuracy "$DONE"/*-performance
        "$PYTHON" -m qsl.demo dev "$DONE/dev.json" --questions "$QUESTIONS" || fail "no questions to ask"
        printf '%s\n' "$runs_key" > "$DONE/runs"
    fi
    say "arm64 root: $(inside python -c 'import platform, sys; print(platform.machine(), "Python", sys.version.split()[0])'), torch $(inside python -c 'from importlib.metadata import version as v; print(v("torch"), "onnxruntime", v("onnxruntime"), "loadgen", v("mlcommons-loadgen"))')"
    for combination in $COMBINATIONS; do compare "$combination" || failed=1; done
    [ $failed = 0 ] || fail "kernels' tests or a combination failed, or an F1 differs by more than $TOLERANCE; logs are in $DONE."
    say "all combinations ran, each F1 within $TOLERANCE of this machine's. Emulated times are not speeds: none is shown."
}

main
exit
