# The start-up file of a gated zsh (5.8 or later): see bash.sh, which this follows step by step.
#
# zsh reports whole sublists (`a | b`) and the heads of compound commands, then what is inside those.
unsetopt ZLE PROMPT_SP PROMPT_CR PROMPT_SUBST PROMPT_BANG BG_NICE BEEP BANG_HIST XTRACE ERR_EXIT 2> /dev/null
setopt INTERACTIVE_COMMENTS DEBUG_BEFORE_CMD CHASE_LINKS
unset HISTFILE PROMPT_COMMAND MAILCHECK
unfunction precmd preexec chpwd periodic zshexit TRAPDEBUG TRAPEXIT TRAPZERR 2> /dev/null
precmd_functions=() preexec_functions=() chpwd_functions=() periodic_functions=()
HISTSIZE=0 SAVEHIST=0 PS1= PS2= RPS1= RPS2= PS4='+ '
zmodload zsh/system zsh/parameter || exit 3
unfunction builtin printf read kill local setopt typeset whence 2> /dev/null
unalias builtin printf read kill local setopt typeset whence 2> /dev/null
typeset -gr __bastion_dir __bastion_pty __bastion_stty=$(builtin whence -p stty)
typeset -gi __bastion_seq=0
typeset -g __bastion_refused= __bastion_ran= __bastion_answer= __bastion_status=0
typeset -g __bastion_over= __bastion_new=0 __bastion_shown=
typeset -g __bastion_cooked= __bastion_older=
[[ -n $__bastion_pty ]] && __bastion_cooked=$($__bastion_stty -g < /dev/tty)

__bastion_emit() {
  # Whatever options a line has set (KSH_ARRAYS would cut other pieces), these functions are zsh's.
  builtin emulate -L zsh
  setopt nomultibyte
  local data=${2-} head="$1 $sysparams[pid] $__bastion_seq" later=
  while (( ${#data} > 1024 )); do
    builtin printf '+%s %s\0' "$later$head" "${data[1,1024]}"
    later=-
    data=${data[1025,-1]}
  done > $__bastion_dir/reports
  builtin printf '%s %s\0' "$later$head" "$data" > $__bastion_dir/reports
}

__bastion_await() {
  local n= file=$__bastion_dir/answer.$sysparams[pid]
  __bastion_answer=
  if (( sysparams[pid] == $$ )); then
    until [[ $n == $__bastion_seq ]]; do
      IFS=' ' builtin read -r n __bastion_answer <> $__bastion_dir/verdicts || return 1
    done
  else
    until [[ $n == $__bastion_seq ]]; do
      # Nobody answers any more: a loop would go from refused step to refused step for ever.
      [[ -p $__bastion_dir/idle ]] || builtin kill -KILL $sysparams[pid]
      builtin read -r -t 0.002 n <> $__bastion_dir/idle
      [[ ! -s $file ]] || IFS=' ' builtin read -r n __bastion_answer < $file
    done
    builtin printf '' >| $file
  fi
}

__bastion_values() {
  builtin emulate -L zsh
  setopt nomultibyte
  local __bastion_name __bastion_value __bastion_shown=
  local -a __bastion_held
  for __bastion_name in ${(s: :)__bastion_names}; do
    __bastion_held=()
    case $__bastion_name in
      @) __bastion_held=("$@") ;;
      *[^A-Za-z0-9_]* | [0-9]*) continue ;;
      *)
        [[ ${parameters[$__bastion_name]-} == *(association|nameref)* ]] && continue
        (( ${+parameters[$__bastion_name]} )) && __bastion_held=("${(@P)__bastion_name}")
        ;;
    esac
    # What is too much for a report is not told.
    (( ${#__bastion_held} <= 256 )) || continue
    __bastion_value="${__bastion_held[*]}"
    (( ${#__bastion_shown} + ${#__bastion_value} < 32768 )) || continue
    __bastion_shown+="$__bastion_name ${#__bastion_held}"$'\n'
    for __bastion_value in "${__bastion_held[@]}"; do
      __bastion_shown+="${#__bastion_value} $__bastion_value"$'\n'
    done
  done
  __bastion_emit V "$__bastion_shown"
}

__bastion_hook() {
  builtin emulate -L zsh
  case ${funcstack[2]-} in
    __bastion_(emit|await|values|prompt|complete|done|canary|cook|collect|arm|watch)) return 0 ;;
  esac
  local __bastion_hide
  for __bastion_hide in builtin printf read kill local unset setopt unsetopt typeset whence; do
    (( ${+functions[$__bastion_hide]} )) && unset "functions[$__bastion_hide]"
  done
  if [[ -n $__bastion_refused && ${ZSH_DEBUG_CMD%% } == "__bastion_prompt $__bastion_refused" ]]; then
    return 0
  fi
  (( ++__bastion_seq ))
  # What a process that had this number did not live to read.
  [[ ! -s $__bastion_dir/answer.$sysparams[pid] ]] ||
    builtin printf '' >| $__bastion_dir/answer.$sysparams[pid]
  __bastion_emit S "$PWD"$'\t'"$ZSH_DEBUG_CMD"
  while __bastion_await; do
    case $__bastion_answer in
      a) return 0 ;;
      c)
        __bastion_refused=${${ZSH_DEBUG_CMD#__bastion_canary }%% *}
        return 1
        ;;
      v\ *)
        local __bastion_names=${__bastion_answer#v }
        (( ++__bastion_seq ))
        __bastion_values "$@"
        ;;
      *) break ;;
    esac
  done
  builtin kill -INT $sysparams[pid]
  return 1
}

# Setting ERR_EXIT in the trap is how zsh is told to skip the command (zshbuiltins(1), DEBUG). It is
# set first: an error in the hook (under `set -u` an unset variable is one) ends the whole trap.
__bastion_arm() {
  trap 'setopt ERR_EXIT; __bastion_hook "$@" && unsetopt ERR_EXIT || setopt ERR_EXIT' DEBUG
}

__bastion_watch() { __bastion_arm }

__bastion_done() {
  __bastion_new=$?
  [[ $1 == $__bastion_over ]] || __bastion_status=$__bastion_new
  __bastion_over=$1
}

__bastion_canary() { __bastion_ran=$1 }

__bastion_prompt() {
  [[ $1 == $__bastion_over ]] || __bastion_status=130 __bastion_over=$1
  if [[ -n $__bastion_pty ]]; then
    if [[ $1 != $__bastion_shown ]]; then
      __bastion_older=$__bastion_cooked __bastion_shown=$1
      [[ $__bastion_status -ge 128 ]] ||
        { __bastion_new=$($__bastion_stty -g < /dev/tty) && __bastion_cooked=$__bastion_new; }
    fi
    $__bastion_stty -icanon -echo -isig min 0 time 0 < /dev/tty
    __bastion_collect
    builtin printf '\e]7757;%s\a' $1 > /dev/tty
  fi 2> /dev/null
  __bastion_emit P "$1 $__bastion_status ${__bastion_ran:-0} ${__bastion_refused:-0} $PWD"
  __bastion_refused= __bastion_ran=
  __bastion_emit Q $1
}

__bastion_collect() {
  local typed=
  sysread -t 0 -i 0 -s 4096 typed < /dev/tty
  [[ -z $typed ]] || __bastion_emit T $typed
} 2> /dev/null

__bastion_cook() {
  [[ $2 == 0 ]] || __bastion_cooked=$__bastion_older
  [[ -z $__bastion_pty ]] || $__bastion_stty $__bastion_cooked < /dev/tty
  PS1= PS2= RPS1= RPS2=
  __bastion_emit B
  [[ $1 == 1 ]] || trap - DEBUG
  return $__bastion_status
}

__bastion_complete() {
  builtin emulate -L zsh
  setopt nullglob
  local -a found
  case $1 in
    command) found=(${(k)commands[(I)${(b)3}*]} ${(k)builtins[(I)${(b)3}*]} ${(k)aliases[(I)${(b)3}*]} ${(k)functions[(I)${(b)3}*]} ${(b)3}*) ;;
    path)
      case $3 in
        '~/'*) found=($HOME/${(b)${3#\~/}}*(M)) found=(\~/${^found#$HOME/}) ;;
        *) found=(${(b)3}*(M)) ;;
      esac
      ;;
    directory) found=(${(b)3}*(-/)) ;;
    user) found=(${(M)${${(f)"$(</etc/passwd)"}%%:*}:#${(b)3}*}) ;;
    variable) found=(${(k)parameters[(I)${(b)3}*]}) ;;
  esac 2> /dev/null
  found=(${found:#__bastion*})
  __bastion_emit C "$2 ${${(F)found}[1,32768]}"
}

# Before every line that is read, also after ctrl-C. Without a terminal all lines are watched.
typeset -gr precmd_functions=(__bastion_arm)
__bastion_emit R "zsh $ZSH_VERSION"
