#!/usr/bin/env bats
# completion.bats -- what `kersey completion` prints does in the shells
# themselves: bash always, zsh and fish where they are installed. The words after
# each command are those of its help.

bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    touch "a file"
    commands=$("$KERSEY" --help |
        awk '/^commands:/ {on = 1; next} /^$/ {on = 0} on {print $1}')
    [ "$(wc -w <<<"$commands")" -ge 5 ]
}

# the long flags of a command, sorted, one a line
long_flags() {
    "$KERSEY" "$1" --help | grep -o '^  [ -].[ ,] --[a-z0-9-]*' | grep -o -e '--.*' | sort
}

@test "bash offers commands, their flags, and files" {
    "$KERSEY" completion bash >script
    bash -n script
    source ./script
    complete_words() { # what bash offers for the last of the words
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        COMPREPLY=()
        _kersey
        [ ${#COMPREPLY[@]} -eq 0 ] || printf '%s\n' "${COMPREPLY[@]}"
    }
    [ "$(complete_words kersey '' | sort)" = \
        "$(printf '%s\n' $commands help --help --version | sort)" ]
    [ "$(complete_words kersey conf)" = conform ]
    [ "$(complete_words kersey help conf)" = conform ]
    [ "$(complete_words kersey train --weight)" = --weight-decay ]
    [ "$(complete_words kersey tokenizer train --weight)" = "" ]
    [ "$(complete_words kersey inspect a)" = "a file" ]
    for command in $commands; do
        [ "$(complete_words kersey $command -- | sort)" = "$(long_flags $command)" ]
    done
}

@test "zsh offers the same" {
    command -v zsh >/dev/null || skip "no zsh here"
    "$KERSEY" completion zsh >_kersey
    zsh -n _kersey
    lines=() wanted=()
    expect() { lines+=("$1") wanted+=("<$2>"); }
    expect "kersey conf" "kersey conform "
    expect "kersey help conf" "kersey help conform "
    expect "kersey train --weight" "kersey train --weight-decay="
    expect "kersey tokenizer train --weight" "kersey tokenizer train --weight"
    expect "kersey inspect a\\ f" "kersey inspect a\\ file "
    zsh -f "$TESTS_DIR/complete.zsh" "${lines[@]}" >is
    diff <(printf '%s\n' "${wanted[@]}") is
    lines=("kersey ")
    for command in $commands; do
        lines+=("kersey $command --")
    done
    zsh -f "$TESTS_DIR/complete.zsh" "${lines[@]}" | tr -d '<>=' >is
    diff <(printf '%s\n' $commands help --help --version | sort) \
        <(sed -n 's/^kersey //; 1p' is | tr -s ' ' '\n' | grep . | sort)
    line=1
    for command in $commands; do
        line=$((line + 1))
        diff <(long_flags $command) \
            <(sed -n "${line}p" is | tr -s ' ' '\n' | grep -e '^--' | sort)
    done
}

@test "fish offers the same" {
    command -v fish >/dev/null || skip "no fish here"
    "$KERSEY" completion fish >kersey.fish
    export HOME="$PWD"
    fish --no-execute kersey.fish
    cat >offer.fish <<'F'
source kersey.fish
for line in $argv
    echo "== $line"
    complete -C $line | string replace -r '\t.*' ''
end
F
    offers() { fish --no-config offer.fish "$@"; }
    [ "$(offers "kersey conf" "kersey help conf" "kersey train --weight" \
        "kersey tokenizer train --weight" "kersey inspect a")" = "== kersey conf
conform
== kersey help conf
conform
== kersey train --weight
--weight-decay
== kersey tokenizer train --weight
== kersey inspect a
a file" ]
    lines=()
    for command in $commands; do
        lines+=("kersey $command --")
    done
    offers "kersey " "kersey -" "${lines[@]}" >is
    of() { awk -v line="== $1" '$0 == line {on = 1; next} /^==/ {on = 0} on' is | sort; }
    diff <(printf '%s\n' $commands help | sort) <(of "kersey ")
    diff <(printf '%s\n' -h --help --version | sort) <(of "kersey -")
    for command in $commands; do
        diff <(long_flags $command) <(of "kersey $command --")
    done
}

@test "another shell is refused with the list of those there are" {
    run -2 --separate-stderr "$KERSEY" completion csh
    [[ "$stderr" == *'no completion for "csh"; there are bash, zsh and fish'* ]]
}
