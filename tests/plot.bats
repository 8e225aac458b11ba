#!/usr/bin/env bats
# plot.bats -- kersey plot: curves of runs in characters, as SVG, as JSON.

bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    unset LC_ALL LC_CTYPE NO_COLOR
    export LANG=C COLUMNS=60
    mkdir one two
    for i in 1 2 3 4 5 6 7 8; do
        echo "{\"step\":$i,\"loss\":$((9 - i)),\"lr\":0.5}"
    done >one/metrics.jsonl
    printf '{"step":%d,"loss":%s,"val_loss":%d}\n' 1 8.5 7 4 null 6 8 2.5 5 \
        >two/metrics.jsonl
}

@test "a run is drawn from the upper left to the lower right, with round numbers" {
    run -0 --separate-stderr "$KERSEY" plot one
    [ -z "$stderr" ]
    [ "${lines[0]}" = loss ]
    [ "${#lines[@]}" -eq 21 ] # name, 18 rows, steps, legend
    rows=$(grep -n 'a' <<<"$(printf '%s\n' "${lines[@]:1:18}")")
    [[ "$(head -1 <<<"$rows")" == *"+a"* ]]
    # the last row that is drawn on ends at the right edge
    last=$(tail -1 <<<"$rows")
    [ "${#last}" -ge 59 ]
    [[ "$output" == *"       8 +"* && "$output" == *"       2 +"* ]]
    [[ "${lines[19]}" =~ ^\ +2\ +4\ +6\ +8\ *$ ]]
    [ "${lines[20]}" = "          a one" ]
    for line in "${lines[@]}"; do
        [ "${#line}" -le 61 ]
    done
}

@test "braille patterns and colours come where they can be shown, and only there" {
    run -0 env LANG=C.UTF-8 "$KERSEY" plot one
    [[ "$output" == *$'\xe2\xa0'* || "$output" == *$'\xe2\xa1'* ]]
    run -0 env LANG=C.UTF-8 "$KERSEY" plot one two
    [[ "$output" == *b* && "$output" != *$'\xe2'* && "$output" != *$'\033'* ]]
    script -qec true /dev/null >/dev/null 2>&1 || skip "no pseudo-terminals"
    run -0 env LANG=C.UTF-8 TERM=xterm script -qec "$KERSEY plot one two" /dev/null
    [[ "$output" == *$'\033[34m'*$'\xe2'* && "$output" == *$'\033[31m'* ]]
    run -0 env LANG=C.UTF-8 TERM=xterm NO_COLOR=1 \
        script -qec "$KERSEY plot one two" /dev/null
    [[ "$output" != *$'\033'* ]]
}

@test "an SVG has a line for each run, a faint one behind its mean, a legend" {
    mv two 'a<b>&"c'
    run -0 "$KERSEY" plot one 'a<b>&"c' --smooth 0.5 -o loss.svg
    [ -z "$output" ]
    [ "$(grep -c '<polyline' loss.svg)" -eq 5 ]
    [ "$(grep -c 'opacity="0.25"' loss.svg)" -eq 2 ]
    [ "$(grep -c '<polyline.*stroke-dasharray' loss.svg)" -eq 1 ]
    grep -q '>a&#60;b&#62;&#38;&#34;c (validation)</text>' loss.svg
    [ "$(head -c 5 loss.svg)" = "<svg " ]
    [ "$(tail -n 1 loss.svg)" = "</svg>" ]
    # every element that is opened is closed
    for element in svg g title text style clipPath; do
        [ "$(grep -o "<$element[ >]" loss.svg | wc -l)" -eq \
            "$(grep -o "</$element>" loss.svg | wc -l)" ]
    done
}

@test "a long run makes a small SVG with the same extremes" {
    awk 'BEGIN {for (i = 1; i <= 100000; i++)
        printf "{\"step\":%d,\"loss\":%g}\n", i, i == 50000 ? 99 : i % 7}' >long
    run -0 "$KERSEY" plot long -o long.svg
    [ "$(stat -c %s long.svg)" -lt 60000 ]
    points=$(grep -o ' points="[^"]*"' long.svg | grep -o '[0-9.]*,[0-9.]*')
    # 99 stands 5 % below the top of 20 .. 430
    [ "$(sort -t, -k2 -g <<<"$points" | head -1 | cut -d, -f2)" = 38.6 ]
}

@test "smoothing is the mean weighted by age, and says what it smoothed" {
    "$KERSEY" plot one --smooth 0.5 --json >out
    [ "$(jq -c 'map(.kind)' out)" = '["smoothed from","line"]' ]
    # (8/2 + 7) / 1.5, (8/4 + 7/2 + 6) / 1.75
    [ "$(jq -c '.[1].points[0:3]' out)" = \
        '[[1,8],[2,7.33333333],[3,6.57142857]]' ]
    [ "$(jq -c '.[0].points | map(.[1])' out)" = '[8,7,6,5,4,3,2,1]' ]
}

@test "what is not finite is left out, steps that were made again count once" {
    printf '{"step":%d,"loss":%d}\n' 1 9 2 8 3 7 2 6 3 5 >again
    echo -n '{"step":4,"lo' >>again # a run that goes on
    "$KERSEY" plot again two --json >out
    [ "$(jq -c '.[0].points' out)" = '[[1,9],[2,6],[3,5]]' ]
    [ "$(jq -c '.[1].points' out)" = '[[1,8.5],[8,2.5]]' ]
    [ "$(jq -c '.[2] | [.metric, .points]' out)" = \
        '["val_loss",[[1,7],[4,6],[8,5]]]' ]
}

@test "mistakes are told in one sentence, and no file is left" {
    refused() {
        local code=$1 says=$2
        shift 2
        run "-$code" --separate-stderr "$KERSEY" plot "$@"
        [ -z "$output" ]
        [ "$stderr" = "kersey plot: error: $says" ] || { echo "$stderr"; return 1; }
    }
    refused 1 "nowhere: No such file or directory" nowhere
    refused 1 'one: no step has a "speed"; a run has loss, grad_norm, lr, tok_s, seconds, tokens, and val_loss, val_bits_per_byte where it was evaluated' \
        one --metric speed -o x.svg
    [ ! -e x.svg ]
    echo '{"step":1,"loss":1,}' >bad
    refused 1 "bad: line 1: no JSON: string or '}' expected near '}'" bad
    echo '{"step":1.5,"loss":1}' >bad
    refused 1 'bad: line 1: "step" is no whole number' bad
    echo '{"step":1,"loss":"1"}' >bad
    refused 1 'bad: line 1: "loss" is no number' bad
    refused 2 "--smooth must lie in [0, 1)" one --smooth 1
    refused 2 "--metric lo/ss: names are of a-z and _" one --metric lo/ss
    refused 1 "no/x.svg: No such file or directory" one -o no/x.svg
    refused 1 "/dev/full: No space left on device" one -o /dev/full
    [ -c /dev/full ]
}
