#!/usr/bin/env bats
# oclgrind.bats -- the kernels of the opencl backend in oclgrind, an interpreter
# that knows who wrote each byte: no race, no access outside a buffer, nothing
# read that was not written. A case of each family; all of them by label long.
#
# oclgrind 21.10 lacks some built-ins of its own compiler, so that programs are
# compiled as by one that has none of them (which also tries what other
# compilers get); optimized, they would have a `freeze` that it lacks too. See
# oclgrind_shadow.cc for what else is wrong with it.

bats_require_minimum_version 1.5.0

setup_file() {
    library=/usr/lib/oclgrind/liboclgrind-rt-icd.so
    [ -e "$library" ] || skip "no oclgrind"
    mkdir "$BATS_FILE_TMPDIR/vendors"
    echo "$library" >"$BATS_FILE_TMPDIR/vendors/oclgrind.icd"
    c++ -std=c++17 -O1 -shared -fPIC "$TESTS_DIR/oclgrind_shadow.cc" \
        -o "$BATS_FILE_TMPDIR/shadow.so"
}

setup() {
    ops="$TESTS_DIR/golden/ops"
    # rows of three, of which the second product reads them by vectors
    cat >"$BATS_TEST_TMPDIR/products.krs" <<'END'
%1 = input f32[4,5] name="x"
%2 = input f32[5,3] name="w"
%3 = matmul f32[4,3] %1 %2 ta=false tb=false
%4 = tanh f32[4,3] %3
%5 = matmul f32[4,5] %4 %2 ta=false tb=true
return %3 %5
END
}

# A command in oclgrind; $1: uninitialized, or nothing
watched() {
    local also="$1"
    shift
    [ -z "$also" ] || also="OCLGRIND_UNINITIALIZED=1
LD_PRELOAD=$BATS_FILE_TMPDIR/shadow.so"
    env OCL_ICD_VENDORS="$BATS_FILE_TMPDIR/vendors" KRS_CACHE=off \
        OCLGRIND_BUILD_OPTIONS="-cl-opt-disable -D__has_builtin(name)=0" \
        OCLGRIND_DATA_RACES=1 OCLGRIND_CHECK_API=1 $also "$@"
}

# The same, which succeeds; oclgrind speaks of what it finds, and of nothing
# else but the compiler.
silent() {
    local out="$BATS_TEST_TMPDIR/out"
    watched "$@" --backend opencl >"$out" 2>&1 || { tail -n 20 "$out"; return 1; }
    grep -qE '[1-9][0-9]* passed, 0 failed' "$out"
    ! grep -vE 'warnings? generated|passed, 0 failed|^skipped ' "$out"
}

@test "what oclgrind finds is seen" {
    # on processors a masked load reads what lies behind a row, and forgets it;
    # to oclgrind a mask of bits forgets nothing
    run -0 watched uninitialized "$KERSEY" check \
        "$BATS_TEST_TMPDIR/products.krs" --backends opencl --against interp
    [[ "$output" == *"Uninitialized value written to global memory"* ]]
}

@test "nothing is found in a kernel of each family" {
    for only in relu exp cumsum linear_no_bias index_add sort softmax_axis1; do
        silent uninitialized "$KERSEY" conform --cases "$ops" --only "$only"
    done
}

@test "no race is found among items that share memory" {
    cat >"$BATS_TEST_TMPDIR/groups.krs" <<'END'
%1 = input f32[20,40] name="x"
%2 = input f32[40,24] name="w"
%3 = matmul f32[20,24] %1 %2 ta=false tb=false
%4 = sum f32[24] %3 axes=[0] keep=false
%5 = amax f32[20] %1 axes=[1] keep=false
return %3 %4 %5
END
    run -0 --separate-stderr "$KERSEY" graph "$BATS_TEST_TMPDIR/groups.krs" \
        --stage opencl --backend opencl --cpu groups
    [ "$(grep -c '__local float b' <<<"$output")" -eq 4 ]
    run -0 watched "" "$KERSEY" check "$BATS_TEST_TMPDIR/groups.krs" \
        --backends opencl --cpu groups --against interp
    [[ "$output" == *"passed"* ]]
    [[ "$output" != *"race"* && "$output" != *"Invalid"* ]]
    # of a row of fewer elements than lanes, those behind are another item's
    silent "" "$KERSEY" conform --cases "$ops" --only index_add --cpu groups
}

@test "no race is found in any golden case" {
    [ -n "$KERSEY_LONG" ] || skip "takes minutes: ctest -R oclgrind_golden"
    silent "" "$KERSEY" conform --cases "$ops"
    silent "" "$KERSEY" conform --cases "$ops" --cpu groups
}
