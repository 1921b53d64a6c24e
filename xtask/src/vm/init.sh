#!/bin/busybox sh
# Runs as pid 1 in the guest of `cargo xtask vm`: starts the fixtures, runs heaptop on them, tells the serial console what
# happened. It judges nothing: each fact is a line `VM: name=value`, and the host reads them. The very last line is
# VM_TEST_EXIT, which no panicking or hanging guest prints.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp TERM=dumb
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tracefs trace /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t tmpfs tmp /tmp
# Kernel messages must not break into our lines; they are reported at the end.
dmesg -n 1
ip link set lo up

fact() { echo "VM: $1=$2"; }

# Waits until `grep $1 $2` succeeds, at most $3 tenths of a second.
wait_for() {
	tenths=$3
	until grep -q "$1" "$2" 2>/dev/null; do
		tenths=$((tenths - 1))
		[ $tenths -gt 0 ] || return 1
		usleep 100000
	done
}

# Sends a command to the fixture and prints its answer, one line.
ask() {
	before=$(wc -l < /tmp/answers)
	echo "$1" >&3
	tenths=300
	while [ "$(wc -l < /tmp/answers)" -le "$before" ] && [ $tenths -gt 0 ]; do
		tenths=$((tenths - 1))
		usleep 100000
	done
	tail -n +$((before + 1)) /tmp/answers | head -n 1
}

run() {
	fact kernel "$(uname -r)"
	fact cpus "$(grep -c ^processor /proc/cpuinfo)"

	: > /tmp/answers
	mkfifo /tmp/commands
	/fixture < /tmp/commands > /tmp/answers 2>&1 &
	target=$!
	exec 3> /tmp/commands
	wait_for '^ready ' /tmp/answers 300 || { fact fixture "$(cat /tmp/answers)"; return 1; }
	fact keep "$(ask 'keep 400 65536')"
	fact gc "$(ask gc)"
	fact churn "$(ask 'start-churn 2')"

	fact command "heaptop $(cat /arguments) $target"
	# Not quoted: one argument a word.
	/heaptop $(cat /arguments) $target > /tmp/rows 2> /tmp/stderr
	fact heaptop_status $?
	while read -r line; do fact stderr "$line"; done < /tmp/stderr
	grep -F '"schema":"heaptop.sites/1"' /tmp/rows > /tmp/sites
	while read -r line; do fact row "$line"; done < /tmp/sites

	# The target must have survived the probes and their removal: it works on, answers and ends as it was told.
	fact stop "$(ask stop-churn)"
	fact work "$(ask 'work 200')"
	kill -0 $target && fact target alive
	echo 'exit 7' >&3
	wait $target
	fact fixture_status $?
	exec 3>&-
	return 0
}

# A program that samples nothing, watched by one source: name, MiB to allocate, heaptop's arguments.
watch_by() {
	source=$1 mib=$2
	shift 2
	: > /tmp/answers
	: > /tmp/rows
	rm -f /tmp/commands
	mkfifo /tmp/commands
	/mixed -goroutines 2 < /tmp/commands > /tmp/answers 2>&1 &
	target=$!
	exec 3> /tmp/commands
	wait_for '^ready ' /tmp/answers 300 || { fact mixed "$(cat /tmp/answers)"; return 1; }
	fact "command" "heaptop --json --interval 500ms --top 1000 --max-overhead off $* $target"
	/heaptop --json --interval 500ms --top 1000 --max-overhead off "$@" $target > /tmp/rows 2> /tmp/stderr &
	tracer=$!
	wait_for schema /tmp/rows 300
	ask mark > /dev/null
	fact "${source}_fill" "$(ask "fill $mib")"
	# Twice, and time to read what each has left.
	ask gc1 > /dev/null
	sleep 2
	fact "${source}_gc" "$(ask gc1)"
	sleep 4
	kill -TERM $tracer
	wait $tracer
	fact "${source}_status" $?
	while read -r line; do fact stderr "$line"; done < /tmp/stderr
	fact "${source}_row" "$(grep -F '"schema":"heaptop.sites/1"' /tmp/rows | tail -n 1)"
	fact "${source}_truth" "$(ask truth)"
	fact "${source}_rate" "$(ask rate)"
	fact "${source}_check" "$(ask check)"
	echo 'exit 7' >&3
	wait $target
	fact "${source}_exit" $?
	exec 3>&-
	return 0
}

# Watches a program to its end: name of the fact, memory limit of its cgroup, the command that ends it. The program is
# collected at once, so that kernels before 6.15 know its status by the tracepoint alone.
watch_end() {
	name=$1 limit=$2
	: > /tmp/answers
	: > /tmp/rows
	rm -f /tmp/commands
	mkfifo /tmp/commands
	mkdir /sys/fs/cgroup/$name
	echo $limit > /sys/fs/cgroup/$name/memory.max
	/fixture < /tmp/commands > /tmp/answers 2>&1 &
	target=$!
	exec 3> /tmp/commands
	wait_for '^ready ' /tmp/answers 300 || { fact $name "$(cat /tmp/answers)"; return 1; }
	echo $target > /sys/fs/cgroup/$name/cgroup.procs
	/heaptop --json --interval 500ms $target > /tmp/rows 2> /tmp/stderr &
	tracer=$!
	wait_for schema /tmp/rows 300
	echo "$3" >&3
	wait $target
	wait $tracer
	fact $name "$(grep -F '"schema":"heaptop.process/1"' /tmp/rows | tail -n 1 | grep -o '"exit":{[^}]*}')"
	exec 3>&-
	return 0
}

echo +memory > /sys/fs/cgroup/cgroup.subtree_control
run &&
	watch_end exit_status 512M 'exit 7' &&
	watch_by spans 16 --source spans &&
	watch_by arm 32 --arm &&
	# Few: under emulation a trap takes up to 65 us. A cycle that begins inside of an allocation would add to its site.
	GOGC=off watch_by exact 2 --exact
status=$?
FAULTS='BUG:|WARNING:|Oops|segfault|traps:|invalid opcode'
# Reports the kernel's messages that match, and clears them all.
kernel_messages() {
	dmesg -c | grep -E "$1" | while read -r line; do
		fact kernel_message "$line"
	done
}
kernel_messages "$FAULTS|Call Trace"
# Last: the OOM killer prints a call trace of its own.
[ $status = 0 ] && watch_end exit_oom 64M 'keepptr 4000000'
kernel_messages "$FAULTS"
echo "VM_TEST_EXIT=$status"
poweroff -f
