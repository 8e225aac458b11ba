#!/usr/bin/env bats
# kersey check: gradients against slopes of their loss; backends node by node.

setup() {
    bats_require_minimum_version 1.5.0
    cd "$BATS_TEST_TMPDIR"
}

@test "the gradients of a graph, a model folder and a preset pass on every backend" {
    for backend in eval interp cpu; do
        run -0 --separate-stderr "$KERSEY" check "$TESTS_DIR/graphs/mlp.krs" \
            --grad --backend $backend
        [ "${lines[2]}" = "2 passed, 0 failed" ]
        [[ "${lines[0]}" =~ ^passed\ \ w1\ \ 17\ of\ 17\;\ worst\ 0\.[0-9]+\ of\ its ]]
    done
    run -0 "$KERSEY" check "$TESTS_DIR/golden/models/llama_gqa" --grad --elements 2
    [[ "${lines[-1]}" = "29 passed, 0 failed" ]]
    run -0 "$KERSEY" check llama-tiny --grad --elements 2 --backend eval
    [[ "${lines[-1]}" = "20 passed, 0 failed" ]]
}

@test "an output that is no scalar is summed with weights" {
    run -0 "$KERSEY" check "$TESTS_DIR/graphs/softmax.krs" --grad --backend eval
    [[ "${lines[0]}" == "passed  x  18 of 18; worst 0."* ]]
}

@test "a wrong gradient is named and gives exit code 3" {
    cat > half.krs <<'KRS'
%1 = state f32[3] name="w"
%2 = stop_gradient f32[3] %1
%3 = mul f32[3] %1 %2
return %3
KRS
    run -3 --separate-stderr "$KERSEY" check half.krs --grad --backend eval
    [[ "${lines[0]}" == "FAILED  w  5 of 5; worst "* ]]
    [ "${lines[1]}" = "0 passed, 1 failed" ]
    [[ "$stderr" == "kersey check: error: gradcheck: 'w': "*"5 of 5 that were tried disagree" ]]
}

@test "backends agree with the interpreter in outputs, gradients, steps and nodes" {
    run -0 "$KERSEY" check "$TESTS_DIR/graphs/mlp.krs" --backends interp,cpu \
        --grad --steps 2 --report page.html
    [ "${lines[0]}" = "interp against eval" ]
    [[ "${lines[1]}" == "  outputs        2 compared, not judged; 2 elements"* ]]
    [[ "${lines[2]}" == "  gradients      8 compared, not judged; "* ]]
    [[ "${lines[3]}" == "  states         4 compared, not judged; "* ]]
    [[ "$output" == *"cpu against eval"*"  passed"* ]]
    grep -q '<h1>cpu against eval: <span class="passed">passed</span></h1>' page.html
    [ "$(grep -c '<td class="l">node ' page.html)" -ge 40 ]
    grep -q '^<tr><td>2<td class="l">gradient w1<td class="l">' page.html
    ! grep -q 'class="bad"' page.html
    run -0 "$KERSEY" check llama-tiny --batch 1 --seq 4 --steps 2
    [[ "${lines[0]}" == "cpu against eval" ]]
    [[ "$output" == *"  states         122 compared, not judged; "* ]]
}

@test "a page that the disk has no room for is not left half written" {
    run -1 --separate-stderr bash -c "trap '' XFSZ; ulimit -f 1
        exec \"$KERSEY\" check \"$TESTS_DIR/graphs/mlp.krs\" --backends interp \
            --report page.html"
    [[ "$stderr" == *"kersey check: error: page.html: "* ]]
    [ ! -e page.html ]
    run -1 "$KERSEY" check "$TESTS_DIR/graphs/mlp.krs" --backends interp \
        --report /dev/full
    [ -e /dev/full ]
}

@test "outputs and gradients are judged by their largest element where that is asked" {
    mlp="$TESTS_DIR/graphs/mlp.krs"
    run -0 --separate-stderr "$KERSEY" check "$mlp" --backends interp --grad \
        --steps 2 --within 1e-5 --grad-within 1e-5
    [[ "${lines[1]}" == "  outputs        2 passed, 0 failed; 2 elements"* ]]
    [[ "${lines[2]}" == "  gradients      8 passed, 0 failed; "* ]]
    run -3 --separate-stderr "$KERSEY" check "$mlp" --backends interp --grad \
        --steps 2 --grad-within 1e-12 --report page.html
    [[ "$stderr" == "kersey check: error: check: the gradient of "*", step "*": "* ]]
    grep -q '<span class="failed">failed</span></h1>' page.html
    grep -q '<details open><summary>What failed (' page.html
    grep -q '<tr class="bad"><td>1<td class="l">gradient ' page.html
    run -2 --separate-stderr "$KERSEY" check "$mlp" --backends interp --within -1
    [[ "$stderr" == *"--within wants a number from 0, not \"-1\"" ]]
}

@test "a wrong kernel is named, and its repro fails again" {
    export KRS_MODULE_PATH="$(dirname "$KERSEY")/tests/modules"
    export MUTANT=neg_is_abs
    cat > neg.krs <<'KRS'
%1 = input f32[6] name="x"
%2 = exp f32[6] %1
%3 = neg f32[6] %2
%4 = tanh f32[6] %3
return %4
KRS
    run -3 --separate-stderr "$KERSEY" check neg.krs --backends mutant --emit-repro new
    [[ "$stderr" == *"check: on mutant neg: element 0 of f32[6] is "* ]]
    [[ "$stderr" == *"(text:3): kernel 0 (neg) for neg"* ]]
    [[ "$output" == *"again: kersey check new/mutant.krs --backends mutant"* ]]
    run -3 "$KERSEY" check new/mutant.krs --backends mutant
    run -0 "$KERSEY" check new/mutant.krs --backends interp
    run -0 "$KERSEY" check new/mutant.krs --backends interp --grad
    run -3 "$KERSEY" check neg.krs --backends nobody,mutant
    # a printed graph knows where its nodes were asked for
    sed 's/^%3 .*/& # net.layer3 model.c:42/' neg.krs > from_c.krs
    run -3 --separate-stderr "$KERSEY" check from_c.krs --backends mutant
    [[ "$stderr" == *"mutant net.layer3: neg: element 0 "*" (model.c:42): kernel "* ]]
}

@test "what cannot be checked is refused" {
    run -77 --separate-stderr "$KERSEY" check "$TESTS_DIR/graphs/mlp.krs" --backends interp,nobody
    run -2 --separate-stderr "$KERSEY" check llama-tiny --backend cpu --backends cpu
    [[ "$stderr" == *"--backend and --backends: one of them"* ]]
    for none in "" , interp, ,interp interp,,cpu; do
        run -2 --separate-stderr "$KERSEY" check llama-tiny --backends "$none"
        [[ "$stderr" == *"--backends wants names as in cpu,vulkan, not \"$none\"" ]]
    done
    run -2 --separate-stderr "$KERSEY" check llama-tiny --emit-repro absent/new
    [[ "$stderr" == *"--emit-repro absent/new: No such file or directory" ]]
    run -77 --separate-stderr "$KERSEY" check llama-tiny --grad --backend nobody
    run -1 --separate-stderr "$KERSEY" check absent.krs --grad --backend eval
    [[ "$stderr" == *"absent.krs: No such file, folder or preset" ]]
    : > empty.krs
    for command in check graph; do
        run -1 --separate-stderr "$KERSEY" $command empty.krs
        [[ "$stderr" == *"empty.krs: there is no graph in it" ]]
    done
    printf '%%1 = iota i64[3] axis=0\nreturn %%1\n' > ints.krs
    run -1 --separate-stderr "$KERSEY" check ints.krs --grad --backend eval
    [[ "$stderr" == *"gradcheck: there are no parameters to check"* ]]
}

@test "check draws blocks for quantised inputs, whose sums round as others do" {
    graph="$BATS_TEST_TMPDIR/blocks.krs"
    for type in q8_0 q4_0 q4_1; do
        cat >"$graph" <<END
%1 = input f32[3,96] name="x"
%2 = input $type[50,96] name="w"
%3 = matmul f32[3,50] %1 %2 ta=false tb=true
return %3
END
        run -0 "$KERSEY" check "$graph" --backends interp,cpu
        [[ "$output" == *"150 elements, same bits: "* ]]
        # zeros would not round
        [[ "$output" != *"same bits: 150"* ]]
    done
}

@test "--cpu chooses the schedule of what is judged, not of the judge" {
    run -0 --separate-stderr "$KERSEY" check "$TESTS_DIR/graphs/mlp.krs" \
        --backends interp --cpu groups --against eval --grad
    [ "${lines[-1]}" = "  passed" ]
    run -2 --separate-stderr "$KERSEY" check "$TESTS_DIR/graphs/mlp.krs" \
        --backends eval --cpu groups --against interp
    [[ "$stderr" == *"--cpu is for backends that have kernels, not eval"* ]]
    run -1 --separate-stderr "$KERSEY" check "$TESTS_DIR/graphs/mlp.krs" \
        --backends interp --cpu fibers --against eval
    [[ "$stderr" == *"interp: no processor level 'fibers'"* ]]
}
