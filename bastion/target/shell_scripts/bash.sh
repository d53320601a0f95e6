# The start-up file of a gated bash (4.4 or later). The shell reads its commands from a FIFO; a DEBUG
# trap asks the bastion about every simple command of a watched line and waits for the verdict.
#
# No file descriptor stays open between commands, for bash would hand it to every program.
PS1= PS2= PS4='+ ' MAILCHECK=
unset HISTFILE PROMPT_COMMAND PS0 BASH_ENV ENV
set +o history +H
# Rules speak of real paths: `cd` through a symbolic link says where it leads.
set -o physical
shopt -u promptvars
shopt -s checkwinsize
trap - DEBUG ERR EXIT RETURN
\unset -f unalias alias builtin command read printf local kill return declare compgen jobs stty exit
\unalias builtin command read printf local kill return declare compgen jobs exit case if 2> /dev/null
readonly __bastion_dir
__bastion_seq=0 __bastion_status=0 __bastion_refused= __bastion_ran= __bastion_over=
__bastion_shown=
__bastion_stty=$(type -P stty)
[[ -n $__bastion_pty ]] && __bastion_cooked=$("$__bastion_stty" -g < /dev/tty)
readonly __bastion_stty __bastion_pty

# KIND DATA: one report, in pieces that reach the FIFO whole: of 480 bytes, escaped at most twice as
# long, for stdio writes what is over its buffer (1024 where it began as a terminal's) by itself.
__bastion_emit() {
  local LC_ALL=C data=${2-} head="$1 $BASHPID $__bastion_seq" later= mark piece
  while [[ ${#data} -gt 480 ]]; do
    piece=${data:0:480}
    data=${data:480}
    __bastion_escape
    builtin printf '+%s %s\0' "$later$mark$head" "$piece"
    later=-
  done > "$__bastion_dir/reports"
  piece=$data
  __bastion_escape
  builtin printf '%s %s\0' "$later$mark$head" "$piece" > "$__bastion_dir/reports"
}

# bash writes a line at a time, and another process may write in between: so there is no newline.
__bastion_escape() {
  mark=
  [[ $piece == *$'\n'* ]] || return 0
  mark='~'
  piece=${piece//$'\x1f'/$'\x1f'u}
  piece=${piece//$'\n'/$'\x1f'n}
}

# Wait for the answer to the report just made. The shell itself reads it from a FIFO; subshells,
# of which several may wait at once, each look for a file of their own, and empty it.
__bastion_await() {
  local n= file=$__bastion_dir/answer.$BASHPID
  __bastion_answer=
  if [[ $BASHPID == $$ ]]; then
    until [[ $n == "$__bastion_seq" ]]; do
      IFS=' ' builtin read -r n __bastion_answer <> "$__bastion_dir/verdicts" || return 1
    done
  else
    until [[ $n == "$__bastion_seq" ]]; do
      # Nobody answers any more: a loop would go from refused step to refused step for ever.
      [[ -p $__bastion_dir/idle ]] || builtin kill -KILL "$BASHPID"
      builtin read -r -t 0.002 n <> "$__bastion_dir/idle"
      [[ ! -s $file ]] || IFS=' ' builtin read -r n __bastion_answer < "$file"
    done
    builtin printf '' >| "$file"
  fi
}

# What each of the names holds: `NAME COUNT`, then `BYTES VALUE` for each value. `@` stands for this
# function's arguments, which are the caller's. A reference to another variable is never followed:
# its name could hold a command substitution. What is too much for a report is not told.
__bastion_values() {
  local -a __bastion_ifs=(${IFS+"$IFS"}) __bastion_lc=(${LC_ALL+"$LC_ALL"})
  local LC_ALL=C IFS=' ' __bastion_name __bastion_shape __bastion_ref __bastion_index
  local __bastion_value __bastion_shown=
  local -a __bastion_held
  for __bastion_name in $__bastion_names; do
    __bastion_held=()
    case $__bastion_name in
      @) __bastion_held=("$@") ;;
      IFS) __bastion_held=("${__bastion_ifs[@]}") ;;
      LC_ALL) __bastion_held=("${__bastion_lc[@]}") ;;
      *[!A-Za-z0-9_]* | [0-9]*) continue ;;
      *)
        __bastion_shape=$(builtin declare -p "$__bastion_name" 2> /dev/null)
        __bastion_shape=${__bastion_shape#declare -}
        [[ ${__bastion_shape%% *} == *[nA]* ]] && continue
        __bastion_ref="$__bastion_name[@]"
        [[ -z $__bastion_shape ]] || __bastion_held=("${!__bastion_ref}")
        # An array with gaps would be told with the wrong subscripts.
        __bastion_index=${#__bastion_held[@]}
        while [[ $__bastion_index -gt 0 ]]; do
          __bastion_index=$((__bastion_index - 1))
          __bastion_ref="$__bastion_name[$__bastion_index]"
          [[ -n ${!__bastion_ref+x} ]] || continue 2
        done
        ;;
    esac
    [[ ${#__bastion_held[@]} -le 256 ]] || continue
    __bastion_ref="${__bastion_held[*]}"
    [[ $((${#__bastion_shown} + ${#__bastion_ref})) -lt 32768 ]] || continue
    __bastion_shown+="$__bastion_name ${#__bastion_held[@]}"$'\n'
    for __bastion_value in "${__bastion_held[@]}"; do
      __bastion_shown+="${#__bastion_value} $__bastion_value"$'\n'
    done
  done
  __bastion_emit V "$__bastion_shown"
}

__bastion_hook() {
  case ${FUNCNAME[1]-} in
    __bastion_emit | __bastion_await | __bastion_values | __bastion_prompt | __bastion_complete) return 0 ;;
    __bastion_done | __bastion_canary | __bastion_cook | __bastion_collect) return 0 ;;
    __bastion_arm | __bastion_watch | __bastion_escape) return 0 ;;
  esac
  [[ $BASH_COMMAND == __bastion_arm ]] && return 0
  # In POSIX mode alone a special builtin is found before a function of its name.
  POSIXLY_CORRECT=y
  [[ -o posix ]] || return 1
  \unset -f builtin read printf local kill declare return compgen jobs exit
  \unset POSIXLY_CORRECT
  [[ $BASH_COMMAND == "__bastion_prompt $__bastion_refused" && -n $__bastion_refused ]] && return 0
  __bastion_seq=$((__bastion_seq + 1))
  # What a process that had this number did not live to read.
  [[ ! -s $__bastion_dir/answer.$BASHPID ]] || builtin printf '' >| "$__bastion_dir/answer.$BASHPID"
  __bastion_emit S "$PWD"$'\t'"$BASH_COMMAND"
  while __bastion_await; do
    case $__bastion_answer in
      a) return 0 ;;
      c)
        __bastion_refused=${BASH_COMMAND#__bastion_canary }
        return 1
        ;;
      v\ *)
        local __bastion_names=${__bastion_answer#v }
        __bastion_seq=$((__bastion_seq + 1))
        __bastion_values "$@"
        ;;
      *) break ;;
    esac
  done
  # A skipped command counts as done, so `refused && next` would go on: the line ends instead.
  builtin kill -INT "$BASHPID"
  return 1
}

# Whether a line is watched is whether the trap is set: a variable for it could be assigned in
# arithmetic, by any text that a variable holds. Between lines it is always set, so that what
# comes through the FIFO is asked about whoever wrote it.
__bastion_arm() { trap '__bastion_hook "$@"' DEBUG; }

# Called once the shell runs: set in here, bash would take it for a call of its debugger.
__bastion_watch() {
  shopt -s extdebug
  set -o functrace
  __bastion_arm
}

# MARK: a line is over, or was long ago: its end may be told twice (the bastion's gate, LineEnd).
__bastion_done() {
  __bastion_new=$?
  [[ $1 == "$__bastion_over" ]] || __bastion_status=$__bastion_new
  __bastion_over=$1
}

__bastion_canary() { __bastion_ran=$1; }

# The line is over: show the mark that follows the line's last output, put the terminal back, read
# what was typed meanwhile, and say how it went.
__bastion_prompt() {
  # Ctrl-C came just behind the line, and took the line that says how it went.
  [[ $1 == "$__bastion_over" ]] || __bastion_status=130 __bastion_over=$1
  if [[ -n $__bastion_pty ]]; then
    # Told twice, it finds the terminal as it has left it itself.
    if [[ $1 != "$__bastion_shown" ]]; then
      __bastion_older=$__bastion_cooked __bastion_shown=$1
      [[ $__bastion_status -ge 128 ]] ||
        { __bastion_new=$("$__bastion_stty" -g < /dev/tty) && __bastion_cooked=$__bastion_new; }
    fi
    "$__bastion_stty" -icanon -echo -isig min 0 time 0 < /dev/tty
    __bastion_collect
    builtin printf '\e]7757;%s\a' "$1" > /dev/tty
  fi 2> /dev/null
  __bastion_emit P "$1 $__bastion_status ${__bastion_ran:-0} ${__bastion_refused:-0} $PWD"
  __bastion_refused= __bastion_ran=
  __bastion_emit Q "$1"
}

# What was typed in the moment between a line's end and its prompt.
__bastion_collect() {
  local typed=
  IFS= builtin read -r -d '' -t 0.002 -N 4096 typed < /dev/tty
  [[ -z $typed ]] || __bastion_emit T "$typed"
} 2> /dev/null

# MODE INTERRUPTED: a line is about to run. The terminal, and `$?`, are as the line before it left
# them, but where ctrl-C came into that: between `stty raw` and `stty sane` it would stay raw.
__bastion_cook() {
  [[ $2 == 0 ]] || __bastion_cooked=$__bastion_older
  [[ -z $__bastion_pty ]] || "$__bastion_stty" "$__bastion_cooked" < /dev/tty
  PS1= PS2=
  __bastion_emit B
  [[ $1 == 1 ]] || trap - DEBUG
  return "$__bastion_status"
}

# KIND ID WORD: candidates for the word under the cursor, one a line.
__bastion_complete() {
  local found
  case $1 in
    command) found=$(builtin compgen -A command -A file -- "$3") ;;
    path) found=$(builtin compgen -A directory -S / -- "$3"; builtin compgen -A file -- "$3") ;;
    directory) found=$(builtin compgen -A directory -- "$3") ;;
    variable) found=$(builtin compgen -A variable -- "$3") ;;
    user) found=$(builtin compgen -A user -- "$3") ;;
    job) found=$(builtin compgen -A job -- "$3") ;;
  esac 2> /dev/null
  __bastion_emit C "$2 ${found:0:32768}"
}

readonly -f __bastion_emit __bastion_await __bastion_values __bastion_hook __bastion_done
readonly -f __bastion_canary __bastion_prompt __bastion_cook __bastion_collect
readonly -f __bastion_complete __bastion_arm __bastion_watch __bastion_escape
# Before every line that is read, also after ctrl-C. Without a terminal all lines are watched.
readonly PROMPT_COMMAND=__bastion_arm
__bastion_emit R "bash $BASH_VERSION"
