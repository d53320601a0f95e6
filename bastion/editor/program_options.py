"""What programs take, for completion: a shell's own completion knows words and files, no options.

A convenience and no more: nothing is decided by it, and what is not here can be typed.
"""

from __future__ import annotations

from typing import Final

WRAPPERS: Final = {
    "sudo": "-u -g -C -h -p -U -r -t -D -R",
    "doas": "-u -C",
    "env": "-u -C -S",
    "nice": "-n",
    "ionice": "-c -n -p",
    "nohup": "",
    "time": "",
    "timeout": "-k -s",
    "stdbuf": "-i -o -e",
    "setsid": "",
    "command": "",
    "exec": "-a",
    "builtin": "",
    "xargs": "-I -n -P -d -L -s -E -a",
    "watch": "-n",
    "strace": "-e -o -p -s",
}
"""Programs whose first operand is a command, and their options that take a value."""

DIRECTORIES_ONLY: Final = frozenset(("cd", "pushd", "rmdir", "mkdir"))
NAMES: Final = frozenset(("export", "unset", "readonly", "declare", "typeset", "local", "read"))
"""Builtins whose operands are names of variables."""


def _table(text: str) -> dict[str, tuple[str, ...]]:
    """Read lines of `program: words`; one that begins with blanks goes on with the one before."""
    table: dict[str, tuple[str, ...]] = {}
    for line in text.strip().replace("\n ", " ").splitlines():
        program, _, words = line.partition(": ")
        table[program] = tuple(words.split())
    return table


SUBCOMMANDS: Final = _table("""
git: add bisect blame branch checkout cherry-pick clean clone commit config diff fetch grep init
    log merge mv pull push rebase remote reset restore revert rm show stash status switch tag
    worktree
systemctl: cat daemon-reload disable edit enable get-default is-active is-enabled is-failed
    isolate kill list-dependencies list-jobs list-sockets list-timers list-unit-files list-units
    mask reload reload-or-restart reset-failed restart set-default show start status stop
    try-restart unmask
docker: attach build compose container cp create diff events exec export history image images
    info inspect kill load login logs network pause port ps pull push rename restart rm rmi run
    save search start stats stop system tag top unpause update version volume wait
podman: attach build container cp create diff exec export history image images info inspect kill
    logs network pod port ps pull push restart rm rmi run start stats stop tag top volume
kubectl: annotate api-resources apply attach auth autoscale certificate cluster-info config
    cordon cp create delete describe diff drain edit events exec explain expose get label logs
    patch port-forward proxy replace rollout run scale set taint top uncordon version wait
apt: autoremove full-upgrade install list policy purge remove search show update upgrade
apt-get: autoremove clean dist-upgrade download install purge remove source update upgrade
dnf: check-update clean group history info install list makecache provides reinstall remove
    repolist search update upgrade
yum: check-update clean info install list provides reinstall remove repolist search update
ip: addr address link maddress monitor neigh neighbour netns route rule tunnel
pip: cache check config download freeze install list show uninstall wheel
npm: ci exec init install list outdated publish run start test uninstall update
cargo: add bench build check clean clippy doc fmt init install new publish run test update
helm: create dependency get history install lint list package pull repo rollback search show
    status template test uninstall upgrade verify
terraform: apply console destroy fmt get graph import init output plan providers refresh show
    state taint test untaint validate version workspace
service: --status-all
loginctl: list-sessions list-users lock-session session-status show-session show-user
    terminate-session user-status
ufw: allow default delete deny disable enable limit logging reject reload reset status
openssl: ca ciphers dgst enc genpkey genrsa pkcs12 pkey pkeyutl rand req rsa s_client s_server
    verify version x509
""")

OPTIONS: Final = _table("""
ls: -l -a -A -h -t -r -R -S -1 -d -i -n -F --all --almost-all --color --directory
    --human-readable --inode --recursive --reverse --sort= --time= --group-directories-first
cp: -a -f -i -n -p -r -R -u -v --archive --backup --force --interactive --no-clobber --parents
    --preserve= --recursive --reflink --target-directory= --update --verbose
mv: -f -i -n -u -v --backup --force --interactive --no-clobber --target-directory= --update
    --verbose
rm: -f -i -I -r -R -d -v --force --interactive --one-file-system --recursive --dir --verbose
    --preserve-root
mkdir: -m -p -v --mode= --parents --verbose
ln: -f -i -n -r -s -v --force --no-dereference --relative --symbolic --verbose
chmod: -R -c -f -v --changes --quiet --recursive --reference= --verbose
chown: -R -c -f -h -v --changes --from= --no-dereference --recursive --reference= --verbose
cat: -A -b -E -n -s -T -v --number --number-nonblank --show-all --show-ends --show-tabs
    --squeeze-blank
head: -c -n -q -v --bytes= --lines= --quiet --verbose
tail: -c -f -F -n -q -v --bytes= --follow --lines= --pid= --quiet --retry --sleep-interval=
less: -F -i -M -N -R -S -X --chop-long-lines --ignore-case --LINE-NUMBERS --no-init
    --quit-if-one-screen --RAW-CONTROL-CHARS
grep: -A -B -C -c -E -e -F -f -H -h -i -l -L -m -n -o -P -q -r -R -s -v -w -x --after-context=
    --before-context= --color --context= --count --exclude= --exclude-dir= --extended-regexp
    --files-with-matches --fixed-strings --ignore-case --include= --invert-match --line-number
    --max-count= --only-matching --perl-regexp --quiet --recursive --word-regexp
find: -atime -ctime -delete -depth -empty -exec -execdir -follow -group -iname -inum -ipath
    -links -ls -maxdepth -mindepth -mmin -mount -mtime -name -newer -nogroup -nouser -ok -path
    -perm -print -print0 -printf -prune -quit -regex -size -type -user -xdev
sed: -E -e -f -i -n -r -s -z --expression= --file= --in-place --null-data --quiet
    --regexp-extended --separate
sort: -b -c -f -g -h -k -M -n -o -r -R -s -t -u -V -z --check --field-separator=
    --human-numeric-sort --key= --numeric-sort --output= --reverse --unique --version-sort
uniq: -c -d -f -i -s -u -w -z --count --ignore-case --repeated --unique
cut: -b -c -d -f -s -z --characters= --complement --delimiter= --fields= --only-delimited
wc: -c -l -L -m -w --bytes --chars --lines --max-line-length --words
tar: -c -C -f -j -J -p -r -t -u -v -x -z --append --bzip2 --create --directory= --exclude=
    --extract --file= --gzip --list --preserve-permissions --strip-components= --verbose --xz
    --zstd
gzip: -c -d -f -k -l -r -t -v --decompress --force --keep --list --recursive --stdout --test
zip: -9 -d -e -q -r -u -x -y
unzip: -d -j -l -n -o -p -q -t -x
df: -a -h -H -i -k -l -t -T -x --all --human-readable --inodes --local --output --print-type
    --total --type=
du: -a -c -d -h -k -m -s -x --all --apparent-size --exclude= --human-readable --max-depth=
    --one-file-system --summarize --total
ps: -A -C -e -f -F -H -L -o -p -T -u --forest --no-headers --pid= --ppid= --sort= --user=
kill: -9 -15 -HUP -INT -KILL -l -QUIT -STOP -TERM -USR1 -USR2
free: -b -g -h -k -m -s -t -w --giga --human --mega --total --wide
top: -b -d -H -n -o -p -u
ssh: -4 -6 -A -a -C -D -E -F -f -i -J -L -l -N -n -o -p -q -R -T -t -v -W -X -Y
scp: -3 -4 -6 -B -C -F -i -J -l -o -P -p -q -r -v
rsync: -a -c -e -h -i -n -P -r -u -v -x -z --archive --checksum --compress --delete --dry-run
    --exclude= --exclude-from= --existing --files-from= --human-readable --ignore-existing
    --include= --itemize-changes --one-file-system --partial --progress --recursive
    --remove-source-files --rsh= --stats --update --verbose
curl: -A -b -c -d -e -f -F -G -H -I -i -k -L -m -o -O -s -S -T -u -v -w -X -x --compressed
    --connect-timeout --data --data-binary --fail --form --head --header --http1.1 --http2
    --include --insecure --json --location --max-time --output --proxy --remote-name --request
    --resolve --retry --show-error --silent --upload-file --user --user-agent --verbose
    --write-out
wget: -c -i -k -m -nc -nv -O -P -q -r -S -T --continue --directory-prefix= --header= --mirror
    --no-check-certificate --no-clobber --output-document= --quiet --recursive --spider
    --timeout= --tries= --user-agent=
systemctl: -a -f -H -l -n -o -p -q -t --all --failed --force --full --lines= --no-block
    --no-legend --no-pager --now --output= --property= --quiet --runtime --state= --type= --user
journalctl: -a -b -e -f -g -k -n -o -p -r -t -u -x --boot --disk-usage --dmesg --follow --grep=
    --identifier= --lines= --list-boots --no-pager --output= --priority= --reverse --since=
    --system --unit= --until= --user --vacuum-size= --vacuum-time=
git: -C -c -p --git-dir= --no-pager --paginate --version --work-tree=
git commit: -a -F -m -n -p -q -s -S -v --all --allow-empty --amend --author= --date= --dry-run
    --fixup= --message= --no-edit --no-verify --patch --reset-author --signoff --squash=
git log: -n -p -S -G -L --all --author= --decorate --follow --format= --graph --grep=
    --max-count= --name-only --name-status --no-merges --oneline --patch --since= --stat
    --until=
git diff: -b -w --cached --color-words --exit-code --name-only --name-status --no-index --stat
    --staged --word-diff
git push: -f -n -u --all --delete --dry-run --force --force-with-lease --no-verify
    --set-upstream --tags
git pull: --all --autostash --ff-only --no-rebase --rebase --tags
git checkout: -b -B -f -p --detach --force --ours --patch --theirs --track
git branch: -a -d -D -f -m -r -v --all --contains --delete --list --merged --move --no-merged
    --remotes --set-upstream-to= --show-current
git rebase: -i --abort --autosquash --autostash --continue --exec= --interactive --onto= --skip
git reset: -p --hard --keep --mixed --patch --soft
git status: -b -s -u --branch --ignored --short --untracked-files
docker run: -d -e -h -i -it -m -p -P -t -u -v -w --detach --entrypoint= --env= --env-file=
    --hostname= --init --label= --memory= --mount= --name= --network= --publish= --pull=
    --read-only --restart= --rm --tty --user= --volume= --workdir=
docker ps: -a -f -l -n -q -s --all --filter= --format= --last= --latest --no-trunc --quiet
    --size
docker logs: -f -n -t --details --follow --since= --tail= --timestamps --until=
docker exec: -d -e -i -it -t -u -w --detach --env= --interactive --tty --user= --workdir=
docker build: -f -q -t --build-arg= --file= --no-cache --platform= --pull --tag= --target=
kubectl: -A -f -l -n -o -w --all-namespaces --context= --dry-run= --field-selector= --filename=
    --kubeconfig= --namespace= --output= --selector= --watch
kubectl logs: -c -f -l -n -p --all-containers --container= --follow --previous --since= --tail=
    --timestamps
kubectl get: -A -f -l -n -o -w --all-namespaces --field-selector= --no-headers --output=
    --selector= --show-labels --sort-by= --watch
apt: -y --assume-yes --dry-run --fix-broken --no-install-recommends --purge --reinstall
apt-get: -y -q -s --assume-yes --dry-run --fix-broken --no-install-recommends --purge
    --reinstall --simulate
dnf: -q -y --assumeyes --disablerepo= --enablerepo= --nogpgcheck --refresh --releasever=
yum: -q -y --assumeyes --disablerepo= --enablerepo= --nogpgcheck
dpkg: -i -l -L -P -r -s -S --configure --get-selections --install --list --listfiles --purge
    --remove --search --status --verify
rpm: -e -i -q -qa -qf -qi -ql -U -V --erase --import --install --query --test --upgrade --verify
ip: -4 -6 -a -br -c -d -j -o -s --brief --color --details --json --oneline --stats
ss: -4 -6 -a -e -H -i -l -m -n -o -p -r -s -t -u -x --all --extended --listening --numeric
    --processes --summary --tcp --udp --unix
netstat: -a -c -i -l -n -p -r -s -t -u --all --listening --numeric --programs --route --tcp
    --udp
ping: -4 -6 -c -i -I -n -q -s -t -W
dig: +short +trace +noall +answer -4 -6 -p -t -x
useradd: -c -d -e -g -G -m -M -r -s -u --comment --create-home --expiredate --gid --groups
    --home-dir --no-create-home --shell --system --uid
usermod: -a -c -d -e -g -G -L -l -m -s -U -u --append --comment --expiredate --gid --groups
    --home --lock --login --move-home --shell --uid --unlock
mount: -a -o -r -t -v -w --all --bind --move --options --rbind --read-only --types --verbose
lsof: -a -c -d -F -i -n -N -p -P -t -u +D +d
diff: -a -B -b -c -i -N -q -r -u -w -y --brief --color --context --exclude= --ignore-all-space
    --ignore-case --new-file --recursive --side-by-side --unified
stat: -c -f -L -t --dereference --file-system --format= --printf= --terse
date: -d -f -I -r -R -s -u --date= --iso-8601 --reference= --rfc-3339= --rfc-email --set= --utc
xargs: -0 -a -d -I -L -n -p -P -r -t --arg-file= --delimiter= --max-args= --max-procs=
    --no-run-if-empty --null --replace --verbose
psql: -A -c -d -E -f -h -l -L -n -o -p -q -s -t -U -v -w -W -x --command= --csv --dbname=
    --echo-all --file= --host= --list --no-psqlrc --output= --port= --tuples-only --username=
    --variable=
mysql: -B -D -e -h -N -p -P -S -t -u -v --batch --database= --execute= --host= --password
    --port= --skip-column-names --socket= --table --user=
python3: -B -c -E -i -I -m -O -q -s -S -u -v -V -W -x --version
make: -B -C -f -i -j -k -n -s -t --always-make --directory= --dry-run --file= --jobs
    --keep-going --silent
jq: -c -e -f -n -r -R -s -S --arg --argjson --compact-output --raw-input --raw-output --slurp
    --sort-keys --tab
pip: -q -v --no-cache-dir --quiet --user --verbose --version
""")
