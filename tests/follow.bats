#!/usr/bin/env bats
# follow.bats -- "Add an operation" and "Add a rewrite" of graph/README.md, each
# followed once in a copy of the tree: what the pages say is all there is to do.
# ("Add a backend" is followed by examples/backend_skeleton, in install.bats.)
# It builds the library, so it belongs to the long suites.

bats_require_minimum_version 1.5.0

setup_file() {
    top=$(cd "$TESTS_DIR/.." && pwd)
    tree="$BATS_FILE_TMPDIR/tree"
    mkdir -p "$tree/tests"
    (cd "$top" && tar cf - CMakeLists.txt include graph backends models tools) |
        tar xf - -C "$tree"
    (cd "$top/tests" && tar cf - --exclude=golden --exclude=corpus .) |
        tar xf - -C "$tree/tests"
    ln -s "$top/tests/golden" "$top/tests/corpus" "$tree/tests"
    launcher=$(command -v ccache || true)
    cmake -G Ninja -S "$tree" -B "$tree/build" -DKERSEY_CPU=OFF \
        -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG=-O0 \
        ${launcher:+-DCMAKE_C_COMPILER_LAUNCHER="$launcher"} >"$tree/log"
}

setup() {
    cd "$BATS_FILE_TMPDIR/tree"
    export CK_DEFAULT_TIMEOUT=300
}

# after FILE LINE TEXT: put the text behind the first line that has LINE in it
after() {
    grep -qF -- "$2" "$1" || { echo "$1 has no line with: $2"; return 1; }
    LINE=$2 TEXT=$3 awk '{print} !done && index($0, ENVIRON["LINE"]) {
        print ENVIRON["TEXT"]; done = 1}' "$1" >edited
    cat edited >"$1"
}

builds() {
    cmake --build build --target "$@" >log 2>&1 || { tail -n 40 log; return 1; }
}

@test "an operation is added by the steps of the page, none of which can be forgotten" {
    # 1. the row
    after graph/ir/ops.def 'PRIMITIVE(COS, cos,' \
        'PRIMITIVE(SOFTSIGN, softsign, 1, 1, "", FLOAT, same, same, softsign, map,
          "x / (1 + |x|)")'
    # until all is there, the build names what is missing: here the cut
    run ! cmake --build build --target kersey
    [[ "$output" == *emit_softsign* ]]
    # 2. the builder
    after graph/ir/build_map.c 'UNARY(sigmoid, SIGMOID)' \
        'UNARY(softsign, SOFTSIGN)'
    after include/krs/ops.h 'krs_node krs_sigmoid_at(' \
        'KRS_API krs_node krs_softsign_at(krs_place at, krs_node x);'
    after include/krs/ops.h '#define krs_sigmoid(...)' \
        '#define krs_softsign(...) krs_softsign_at(KRS_HERE, __VA_ARGS__)'
    # 6. the cut is map: the operation in scalar ones
    after graph/kernel/lower_expr.c 'EMIT_1(sigmoid,' 'static krsi_kv
softsign(krsi_kb *kb, krsi_kv x)
{
    krsi_kv one = krsi_kb_f32(kb, 1);
    return krsi_kb_div(kb, x, krsi_kb_add(kb, one, krsi_kb_abs(kb, x)));
}
EMIT_1(softsign, softsign)'
    # and now the meaning and the gradient
    run ! cmake --build build --target kersey_program
    [[ "$output" == *krsi_eval_softsign* && "$output" == *krsi_vjp_softsign* ]]
    # 3. the shape is that of "same"; 4. the meaning
    after graph/ir/eval_map.c 'FLOAT_1(sigmoid,' \
        'FLOAT_1(softsign, x / (1 + fabs(x)))'
    # 5. the gradient: (x / (1 + |x|))'"'"' = 1 / (1 + |x|)^2 = (1 - |y|)^2
    cat >>graph/grad/vjp_map.c <<'C'

/* softsign' = (1 - |y|)^2 */
void
krsi_vjp_softsign(krsi_vjp *v)
{
    krs_node one = krs_like_at(v->at, v->y, 1);
    krs_node slope = krs_square_at(
        v->at, krs_sub_at(v->at, one, krs_abs_at(v->at, v->y)));
    v->out[0] = krs_mul_at(v->at, v->g, slope);
}
C
    builds kersey kersey_program
    # 7. samples: the tests miss them too
    run ! cmake --build build --target test_table
    [[ "$output" == *sample_softsign* ]]
    after tests/samples_map.c 'UNARY(sigmoid,' 'UNARY(softsign, leaf_real, -2, 2)'
    # 8. bad input
    after tests/bad_graphs.def 'BAD(exp_of_integers' '    krs_exp(r->i),
    "net.layer3: exp: operand 0 is i64[3] where a float is needed "
    "(model.c:7)")
BAD(softsign_of_integers, E_DTYPE,
    krs_softsign(r->i),
    "net.layer3: softsign: operand 0 is i64[3] where a float is needed "
    "(model.c:7)")
BAD(exp_of_integers_again, E_DTYPE,'
    builds test_table test_grad_table test_bad_graph test_parse
    build/tests/test_table
    build/tests/test_grad_table
    build/tests/test_bad_graph
    build/tests/test_parse
    # nothing else: it is in the list, in texts, in kernels
    run -0 build/kersey ops
    [[ "$(grep '^softsign ' <<<"$output")" =~ primitive\ +yes ]]
    printf '%%1 = input f32[8] name="x"\n%%2 = softsign f32[8] %%1\nreturn %%2\n' >s.krs
    run -0 build/kersey graph s.krs --stage sched --backend interp --grad
    [[ "$output" == *"softsign(a)"* ]]
}

@test "a rewrite is added by the steps of the page, and needs its cases" {
    # 1. the row, 2. the function
    after graph/opt/rules.def 'RULE(abs_sign,' \
        'RULE(floor_floor, ROOTS(FLOOR), "floor(floor x)", "floor x", NAN, WORK)'
    cat >>graph/opt/rules_arith.c <<'C'

/* the largest whole number below a whole number is that number */
krsi_verdict
krsi_rule_floor_floor(krsi_site *s)
{
    return krsi_operand_is(s, 0, KRSI_FLOOR) ? krsi_is(s, s->in[0])
                                             : KRSI_STAYS;
}
C
    builds test_opt
    # 3. without cases the suite fails
    run ! build/tests/test_opt
    [[ "$output" == *floor_floor* ]]
    cat >tests/opt/floor_floor.fires.krs <<'T'
%1 = input f32[3] name="x"
%2 = floor f32[3] %1
%3 = floor f32[3] %2
return %3
---
T
    cat >tests/opt/floor_floor.stays.krs <<'T'
%1 = input f32[3] name="x"
%2 = floor f32[3] %1
%3 = sqrt f32[3] %2
%4 = floor f32[3] %3
return %4
---
T
    for case in fires stays; do
        build/tests/test_opt "tests/opt/floor_floor.$case.krs" >becomes
        cat becomes
        cat becomes >>"tests/opt/floor_floor.$case.krs"
    done
    [ "$(sed '1,/^---/d' tests/opt/floor_floor.fires.krs)" = '%1 = input f32[3] name="x"
%2 = floor f32[3] %1
return %2' ]
    build/tests/test_opt
}
