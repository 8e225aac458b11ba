#!/usr/bin/env bats
# install.bats -- what a stranger gets: the installed tree, moved away from
# where it was installed, found by CMake and pkg-config, used from C and C++;
# what the shared library exports; a backend made outside.
# KERSEY is the program in the folder that is installed from.

bats_require_minimum_version 1.5.0

setup_file() {
    build=$(dirname "$KERSEY")
    cmake --install "$build" --prefix "$BATS_FILE_TMPDIR/first" >/dev/null
    mv "$BATS_FILE_TMPDIR/first" "$BATS_FILE_TMPDIR/prefix"
}

setup() {
    top=$(cd "$TESTS_DIR/.." && pwd)
    prefix="$BATS_FILE_TMPDIR/prefix"
    lib=$(dirname "$(find "$prefix" -name libkersey.so)")
    export PKG_CONFIG_PATH="$lib/pkgconfig" CMAKE_PREFIX_PATH="$prefix"
    unset KRS_MODULE_PATH
    cd "$BATS_TEST_TMPDIR"
}

# the C program of README.md, and what it prints
readme_example() {
    awk '/^```$/ {on = 0} on {print} /^```c$/ {on = 1}' "$top/README.md"
}
readme_prints="y = 2.00 x + 1.00"

# build the project in this folder into build/
cmake_build() {
    cmake -G Ninja -B build . >log && cmake --build build >>log ||
        { cat log; return 1; }
}

@test "the shared library exports the functions of the public headers, and nothing else" {
    for header in "$prefix"/include/krs/*.h; do
        echo "#include <krs/$(basename "$header")>"
    done | cc -E -P -I"$prefix/include" - | tr '\n' ' ' | tr ';' '\n' |
        sed -n 's/.*visibility("default"))) [^(]*[ *]\(krs_[a-z0-9_]*\) *(.*/\1/p' |
        sort >declared
    [ "$(wc -l <declared)" -gt 300 ]
    # what the last column of nm marks as the version itself is no function
    nm -D --defined-only "$lib/libkersey.so" | awk '$2 != "A" {print $3}' |
        sed 's/@.*//' | sort >exported
    diff declared exported
}

@test "the shared library is named by its version, and needs no compiler" {
    version=$("$prefix/bin/kersey" --version | awk '{print $2}')
    abi=${version%.*}
    [ -f "$lib/libkersey.so.$version" ]
    readelf -d "$lib/libkersey.so" >dynamic
    strip -o small "$lib/libkersey.so.$version"
    [ "$(stat -c %s small)" -lt 2000000 ] # README.md says 1.7 MB
    grep -q "SONAME.*\[libkersey.so.$abi\]" dynamic
    run ! grep 'NEEDED.*LLVM' dynamic
    run ! grep 'TEXTREL\|RUNPATH\|RPATH' dynamic
    nm -D --with-symbol-versions "$lib/libkersey.so" |
        grep -q "krs_version@@KERSEY_$abi"
}

@test "every module that was built is installed" {
    build=$(dirname "$KERSEY")
    (cd "$build" && ls libkersey-*.so) >built || skip "no module was built"
    ls "$lib/kersey" >installed
    diff built installed
}

@test "a module exports its entry alone" {
    for module in "$lib"/kersey/libkersey-*.so; do
        [ -f "$module" ] || skip "no module was built"
        run -0 nm -D --defined-only "$module"
        [ "$(awk '{print $3}' <<<"$output")" = krs_backend_entry ]
    done
}

@test "every public header stands alone as C11, C17 and C++17 without a warning" {
    strict="-Wall -Wextra -Wpedantic -Wconversion -Werror -fsyntax-only"
    count=0
    for header in "$prefix"/include/krs/*.h; do
        echo "#include <krs/$(basename "$header")>" >one.c
        cc -std=c11 $strict -I"$prefix/include" one.c
        cc -std=c17 $strict -I"$prefix/include" one.c
        c++ -std=c++17 -x c++ $strict -I"$prefix/include" one.c
        count=$((count + 1))
    done
    [ "$count" -gt 20 ]
}

@test "a consumer finds the library by CMake, shared, as an archive, and its parts" {
    readme_example >example.c
    cat >io.c <<'C'
#include <krs/weights.h>
int main(int argc, char **argv)
{
    krs_weights *w;
    return argc != 2 || krs_weights_open(argv[1], &w, NULL) ? 1
               : (krs_weights_close(w), 0);
}
C
    cat >text.c <<'C'
#include <krs/token.h>
int main(void)
{
    krs_tokenizer *t;
    if (krs_tokenizer_open("bytes", &t, NULL))
        return 1;
    krs_tokenizer_free(t);
    return 0;
}
C
    cat >CMakeLists.txt <<'EOF'
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES C)
find_package(kersey 0.1 CONFIG REQUIRED)
add_executable(shared example.c)
target_link_libraries(shared kersey::kersey)
add_executable(static example.c)
target_link_libraries(static kersey::static)
add_executable(io io.c)
target_link_libraries(io kersey::io)
add_executable(text text.c)
target_link_libraries(text kersey::text)
EOF
    cmake_build
    run -0 build/shared
    [ "$output" = "$readme_prints" ]
    run -0 build/static
    [ "$output" = "$readme_prints" ]
    build/io "$TESTS_DIR/golden/gguf/llama_gqa.gguf"
    build/text
    readelf -d build/static build/io >dynamic
    run ! grep libkersey dynamic
    readelf -d build/io >dynamic
    run ! grep 'pcre\|utf8proc' dynamic
}

@test "where a library of the archives is missing, the shared one is still found" {
    readme_example >example.c
    cat >CMakeLists.txt <<'EOF'
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES C)
find_package(kersey CONFIG REQUIRED)
if(TARGET kersey::static)
    message(FATAL_ERROR "without pkg-config nothing finds its libraries")
endif()
add_executable(shared example.c)
target_link_libraries(shared kersey::kersey)
EOF
    cmake -G Ninja -B build -DCMAKE_DISABLE_FIND_PACKAGE_PkgConfig=ON . >log
    grep -q "kersey: pkg-config does not find .*jansson" log
    cmake --build build >>log
    run -0 build/shared
    [ "$output" = "$readme_prints" ]
}

@test "another version than was asked for is refused" {
    cat >CMakeLists.txt <<'EOF'
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES NONE)
find_package(kersey 0.2 CONFIG REQUIRED)
EOF
    run -1 cmake -G Ninja -B build .
    [[ "$output" == *"version: 0."* ]]
}

@test "a consumer finds the library by pkg-config, shared and as an archive" {
    readme_example >example.c
    cc example.c -o shared $(pkg-config --cflags --libs kersey) -Wl,-rpath,"$lib"
    run -0 ./shared
    [ "$output" = "$readme_prints" ]
    cc example.c -o static $(pkg-config --cflags kersey) "$lib/libkersey.a" \
        $(pkg-config --static --libs-only-l kersey | sed 's/-lkersey//')
    run -0 ./static
    [ "$output" = "$readme_prints" ]
    [ "$(pkg-config --modversion kersey-io)" = \
        "$("$prefix/bin/kersey" --version | awk '{print $2}')" ]
    pkg-config --libs kersey-io | grep -q -- '-lkersey-io.*-ljansson'
}

@test "a C++ program builds a graph and runs it" {
    cat >twice.cc <<'CC'
#include <krs/krs.h>
#include <cstdio>

int main()
{
    const float x[] = {1, 2, 3};
    krs_graph *g = krs_graph_new();
    krs_node in = krs_input(g, "x", KRS_F32, KRS_SHAPE(3));
    krs_node y = krs_sum(krs_scale(in, 2), KRS_AXES(0));
    krs_device *device;
    krs_store *store;
    krs_program *program;
    krs_error err;
    float sum = 0;
    if (krs_device_open("interp", &device, &err) ||
        krs_store_new(device, &store, &err) ||
        krs_program_new(store, &y, 1, &program, &err) ||
        krs_program_set_input(program, "x", x, sizeof x, &err) ||
        krs_program_run(program, &err) ||
        krs_program_read(program, 0, &sum, sizeof sum, &err))
        return std::fprintf(stderr, "%s\n", err.text), 1;
    std::printf("%g\n", static_cast<double>(sum));
    krs_program_free(program);
    krs_store_free(store);
    krs_device_close(device);
    krs_graph_free(g);
}
CC
    c++ -std=c++17 -Wall -Wextra -Wpedantic -Wconversion -Werror twice.cc \
        -o twice $(pkg-config --cflags --libs kersey) -Wl,-rpath,"$lib"
    run -0 ./twice
    [ "$output" = 12 ]
}

@test "an installed program finds the modules beside it, and does without" {
    [ -f "$lib/kersey/libkersey-cpu.so" ] || skip "the CPU module was not built"
    "$prefix/bin/kersey" doctor --json |
        jq -e '.devices[] | select(.name == "cpu") | .works'
    cp -r "$prefix" bare
    rm -r "bare/lib"*"/kersey" || rm -r bare/lib/*/kersey
    bare/bin/kersey conform --cases "$TESTS_DIR/golden/ops" --only softmax \
        --backend interp
    run -77 --separate-stderr bare/bin/kersey conform \
        --cases "$TESTS_DIR/golden/ops" --only softmax --backend cpu
    [ -z "$output" ]
    [ "$(wc -l <<<"$stderr")" -eq 1 ]
    [[ "$stderr" == *"no device 'cpu'"*"libkersey-cpu.so is in none of the folders"* ]]
}

@test "a build without the CPU backend knows no LLVM" {
    cmake -G Ninja -S "$top" -B off -DKERSEY_CPU=OFF -DKERSEY_TESTS=OFF >log
    run ! grep -i "libllvm\|llvm-19\|backends/cpu" off/build.ninja
    grep -q 'libkersey.so' off/build.ninja
}

@test "the skeleton of a backend builds against the installed package and conforms" {
    cp -r "$top/examples/backend_skeleton/." .
    [ "$(wc -l <skeleton.c)" -lt 500 ]
    cmake_build
    export KRS_MODULE_PATH="$PWD/build"
    run -0 --separate-stderr "$prefix/bin/kersey" conform \
        --cases "$TESTS_DIR/golden/ops" --backend skeleton
    [ -z "$stderr" ]
    skeleton=$output
    run -0 "$prefix/bin/kersey" conform --cases "$TESTS_DIR/golden/ops" \
        --backend interp
    [ "$output" = "$skeleton" ]
    [[ "$output" == *" 0 failed, "* ]]
    # its own stage is shown
    run -0 "$prefix/bin/kersey" graph "$TESTS_DIR/graphs/softmax.krs" \
        --backend skeleton --stage text
    [[ "$output" == *"kernel div"*"buffer @a f32 read"* ]]
    run -1 --separate-stderr "$prefix/bin/kersey" graph \
        "$TESTS_DIR/graphs/softmax.krs" --backend skeleton --stage spirv
    [[ "$stderr" == *"skeleton: no stage 'spirv'; there is text"* ]]
    # it is the one that ran
    run -77 "$prefix/bin/kersey" bench gemm --m 8 --n 8 --k 8 \
        --backend skeleton:1
    [[ "$output" == *"skeleton: no device 1; only 0"* ]]
}

@test "the page on ownership and threads names every type of the headers, and functions that are there" {
    page="$top/include/krs/README.md"
    headers=$(find "$prefix/include/krs" -name '*.h' ! -name backend.h)
    types=$(sed -n 's/^typedef struct \(krs_[a-z_]*\) \1;.*/\1/p' $headers)
    [ "$(wc -w <<<"$types")" -ge 14 ]
    for type in $types; do
        grep -q "^| \`$type\` |" "$page" || { echo "no row: $type"; return 1; }
    done
    names=$(grep -o '`krs_[a-z_]*`' "$page" | tr -d '`' | sort -u)
    for name in $names; do
        grep -qw "$name" $headers "$prefix/include/krs/backend.h" ||
            { echo "not there: $name"; return 1; }
    done
    [ -f "$prefix"/share/doc/kersey/embedding.md ]
    grep -q "complete.*kersey" "$prefix/share/bash-completion/completions/kersey"
}

@test "the examples build against the installed package and do what they say" {
    cp -r "$top/examples/." .
    for file in *.c; do
        [ "$(wc -l <"$file")" -le 150 ]
        grep -q "^| \`$file\` |" README.md
        grep -qw "${file%.c}" CMakeLists.txt
    done
    [ "$(wc -l <quadratic.c)" -le 20 ]
    [ "$(wc -l <train_step.c)" -le 60 ]
    CFLAGS=-Werror cmake_build
    run -0 build/quadratic
    [ "$output" = "x = 3.000" ]
    [ -f "$lib/kersey/libkersey-cpu.so" ] && device=cpu || device=interp
    run -0 build/train_step weights.safetensors $device
    [ "$output" = "loss 0.000004, w = 2.001 -0.001 0.001 -1.001
resumed: the same bits" ]
    run -0 build/mlp $device
    [[ "${lines[-1]}" =~ ^19[0-2]\ of\ 192\ right$ ]]
    run -0 build/custom_block $device
    [ "${lines[0]}" = "8 parameters, gradients as the slopes of the loss" ]
    run -0 build/custom_op $device
    [ "${lines[1]}" = " -0.49 -> -0.500, d(y^2)/dx = -1.00" ]
    [ "${lines[4]}" = "  1.50 ->  1.000, d(y^2)/dx = 0.00" ]
    run -0 build/inspect_compile $device
    [[ "$output" == *"softmax f32[4,100]"*"== fusion"*"== kernel"*"== launch, 1 lines"* ]]
    bible -f gen1:1-30 >text
    run -0 --separate-stderr build/train_text text run 40 $device
    [[ "${lines[0]}" =~ ^[345]\.[0-9][0-9]\ bits\ per\ byte$ ]]
    [[ "${lines[1]}" == "And God "* ]]
    [[ "$stderr" == *"step 40  loss "* ]]
    [ -f run/checkpoint-00000040/model.safetensors ]
}
