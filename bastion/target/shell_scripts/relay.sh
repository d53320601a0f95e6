# Stands between the bastion and a gated shell; runs in /bin/sh, beside the shell, not in it.
#
# Standard input, a line each:  :TEXT  a line of the start-up file    .  the start-up file ends
#                               lTEXT  a line for the shell to read
#                               vSEQ ANSWER      the verdict that the shell itself waits for
#                               sPID.SEQ ANSWER  the one that a subshell of it waits for
#                               cPID             the shell goes on, if something has stopped it
#                               f                what subshells have read may go
# Standard output: the shell's reports, records that end with NUL.
umask 077
d=$(mktemp -d "${TMPDIR:-/tmp}/.bastion-shell.XXXXXXXX") || exit 3
trap 'rm -rf "$d"' 0
trap 'exit 1' 1 2 13 15
mkfifo "$d/lines" "$d/reports" "$d/verdicts" "$d/idle" || exit 3
while IFS= read -r l && [ "$l" != . ]; do printf '%s\n' "${l#:}"; done > "$d/rc"
ln "$d/rc" "$d/.zshrc" || exit 3
printf 'D 0 0 %s\000' "$d"
# Held open for reading and writing, so that no FIFO is ever at its end while this runs.
exec 3<> "$d/lines" 4<> "$d/reports" 5<> "$d/verdicts" 6< "$d/reports"
# The reader outlives this, however this ends (kill -9, too), for then its FIFO is at its end, and
# takes the directory with it. It keeps the lines open until the terminal's hang-up has reached the
# shell: at the end of its FIFO it would leave in peace, and its jobs with it.
(
  exec 4<&-
  cat <&6 3<&- 5<&-
  rm -rf "$d"
  kill $$
  exec sleep 3 > /dev/null
) 2> /dev/null &
exec 6<&-
while IFS= read -r l; do
  case $l in
    l*) printf '%s\n' "${l#l}" >&3 ;;
    v*) printf '%s\n' "${l#v}" >&5 ;;
    c*) kill -s CONT "${l#c}" ;;
    s*) l=${l#s}; printf '%s\n' "${l#*.}" > "$d/answer.${l%%.*}" ;;
    f*)
      x=
      for a in "$d"/answer.*; do [ -s "$a" ] || x="$x ${a##*/}"; done
      [ -z "$x" ] || (cd "$d" && rm -f $x)
      ;;
  esac
done
