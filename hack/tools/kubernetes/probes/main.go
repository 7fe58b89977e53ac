// probes writes down what the kubelet's own code makes of answers, and how it asks: the fixtures of
// launcher/src/probing. Called by hack/update-probes.
//
//	answers.txt   KIND ANSWER              what a program answers, and what the kubelet takes it for
//	requests.txt  PATH|NAME:VALUE|... => REQUEST   what a probe has, and what goes over the wire
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/kubernetes/pkg/probe"
	httpprobe "k8s.io/kubernetes/pkg/probe/http"
)

const (
	// An answer after which the connection stays open.
	hold = "<hold>"
	// The line that says whose code it was, before its version.
	by = "# k8s.io/kubernetes "
)

func main() {
	for name, judge := range map[string]func(string) string{"answers.txt": answer, "requests.txt": request} {
		path := filepath.Join(os.Args[1], name)
		text, err := os.ReadFile(path)
		check(err)
		var out strings.Builder
		for _, line := range strings.Split(strings.TrimRight(string(text), "\n"), "\n") {
			if strings.HasPrefix(line, by) {
				line = by + version()
			} else if line != "" && !strings.HasPrefix(line, "#") {
				line = judge(line)
			}
			out.WriteString(line + "\n")
		}
		check(os.WriteFile(path, []byte(out.String()), 0o644))
	}
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "k8s.io/kubernetes" {
			return module.Version
		}
	}
	panic("built without k8s.io/kubernetes")
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// serve gives every connection the text, once its request is complete, and hands the request on.
func serve(text string) (int, chan string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	port := listener.Addr().(*net.TCPAddr).Port
	requests := make(chan string, 100)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				reader := bufio.NewReader(conn)
				var asked strings.Builder
				for !strings.HasSuffix(asked.String(), "\r\n\r\n") {
					c, err := reader.ReadByte()
					if err != nil {
						return
					}
					asked.WriteByte(c)
				}
				requests <- asked.String()
				said, held := strings.CutSuffix(text, hold)
				conn.Write([]byte(strings.ReplaceAll(said, "{port}", strconv.Itoa(port))))
				if held {
					reader.ReadByte()
				}
			}()
		}
	}()
	return port, requests
}

func attempt(port int, path string, headers []v1.HTTPHeader, timeout time.Duration) (probe.Result, error) {
	get := &v1.HTTPGetAction{Path: path, Port: intstr.FromInt32(int32(port)), HTTPHeaders: headers}
	req, err := httpprobe.NewRequestForHTTPGetAction(get, &v1.Container{}, "127.0.0.1", "probe")
	if err != nil {
		return probe.Unknown, err
	}
	result, _, err := httpprobe.New(false).Probe(req, timeout)
	return result, err
}

func answer(line string) string {
	_, escaped, _ := strings.Cut(line, " ")
	text, err := strconv.Unquote(`"` + escaped + `"`)
	check(err)
	port, _ := serve(text)
	timeout := 20 * time.Second
	if strings.HasSuffix(text, hold) {
		timeout = 400 * time.Millisecond
	}
	result, err := attempt(port, "/live", nil, timeout)
	if err != nil {
		result = probe.Unknown
	}
	return string(result) + " " + escaped
}

func request(line string) string {
	asked, _, _ := strings.Cut(line, " => ")
	text, err := strconv.Unquote(`"` + asked + `"`)
	check(err)
	parts := strings.Split(text, "|")
	var headers []v1.HTTPHeader
	for _, part := range parts[1:] {
		name, value, _ := strings.Cut(part, ":")
		headers = append(headers, v1.HTTPHeader{Name: name, Value: value})
	}
	port, requests := serve("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	result, err := attempt(port, parts[0], headers, 20*time.Second)
	seen := "none"
	if result == probe.Success && err == nil {
		seen = strconv.Quote(strings.ReplaceAll(<-requests, strconv.Itoa(port), "{port}"))
		seen = strings.ReplaceAll(seen[1:len(seen)-1], "kube-probe/.", "kube-probe/{version}")
	}
	return fmt.Sprintf("%s => %s", asked, seen)
}
