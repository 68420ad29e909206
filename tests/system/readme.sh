#!/usr/bin/env bash
#
# readme.sh [--print] - README.md's table of options is the daemon's own, and its links lead somewhere; --print prints the
# rows as they must stand there.
set -euo pipefail

rows() {
	"${KYNETA_STORED_BIN:-build/daemon/kyneta-stored}" --options | while IFS=$'\t' read -r name default range when reason; do
		printf '| `--%s` | %s | %s | %s | %s |\n' "$name" "$default" "$range" "$when" "$reason"
	done
}

if [ "${1-}" = --print ]; then
	rows
	exit 0
fi

mapfile -t expected < <(rows)
# Rows of five columns that begin with an option: those of the table.
mapfile -t found < <(grep -E '^\| `--[a-z-]+` \|.*\|.*\|.*\|.*\|$' README.md)
table=$(printf '%s\n' "${found[@]}") # grep -q may end before whoever writes to it: no pipes into it
headings=$(grep -E '^#+ ' README.md | sed -E 's/^#+ //' | tr 'A-Z ' 'a-z-' | tr -dc 'a-z0-9\n-')
status=0
echo "1..$((${#expected[@]} + 2))"
for row in "${expected[@]}"; do
	if grep -qxF -- "$row" <<<"$table"; then
		echo "ok - README.md has ${row:0:40}"
	else
		echo "not ok - README.md lacks $row"
		status=1
	fi
done
if [ ${#found[@]} -eq ${#expected[@]} ]; then
	echo "ok - README.md has no other options"
else
	echo "not ok - README.md has ${#found[@]} rows, the daemon ${#expected[@]} options"
	status=1
fi

# Links to files, and to headings: in lower case, blanks are dashes.
missing=()
while read -r link; do
	case "$link" in
	http*) ;;
	'#'*) grep -qxF -- "${link#?}" <<<"$headings" || missing+=("$link") ;;
	*) [ -e "$link" ] || missing+=("$link") ;;
	esac
done < <(grep -oE '\]\([^)]+\)' README.md | sed -e 's/^](//' -e 's/)$//')
if [ ${#missing[@]} -eq 0 ]; then
	echo "ok - every link of README.md leads somewhere"
else
	echo "not ok - README.md has links to what is not there: ${missing[*]}"
	status=1
fi
exit $status
