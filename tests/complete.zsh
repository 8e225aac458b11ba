# complete.zsh LINE ... -- complete the end of each line as an interactive zsh does
# with the _kersey of this folder, all matches inserted, and print what becomes
# of it in <>. Run by completion.bats: zsh -f complete.zsh LINE ...
zmodload zsh/zpty
cat >rc <<'R'
PS1= PS2= PROMPT_EOL_MARK=
fpath=($PWD $fpath)
autoload -U compinit
compinit -u -D
zle -C all complete-word _generic
zstyle ':completion:all:*' insert yes
zstyle ':completion:all::::' completer _all_matches _complete
report() { print -r -- "<$BUFFER>" >>answers; BUFFER= }
zle -N report
bindkey '^A' all
bindkey '^X' report
print ready >answers
R
rm -f answers
zpty shell zsh -f -i
zpty -w shell 'source ./rc'

wait_for() { # until there are so many answers
    repeat 400; do
        [[ -f answers ]] && (($(wc -l <answers) >= $1)) && return
        sleep 0.05
    done
    print -u2 "complete.zsh: no answer"
    exit 1
}

integer count=1
wait_for 1
for line in "$@"; do
    zpty -w -n shell "$line"$'\x01\x18'
    wait_for $((++count))
done
zpty -d shell
tail -n +2 answers
