// mongodump, mongorestore and mongosh of the lab's mongo image, chosen by the name that the program is started by.
//
// They take the options of the real ones that a backup and a health check need, refuse every other, and write
// the archive format of the real ones (magic number, prelude, namespace segments, CRC-64). A password is taken
// from a --config file or a connection string in one; in the arguments it is refused.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

func main() {
	name := filepath.Base(os.Args[0])
	run, known := map[string]func(*arguments) error{"mongodump": dump, "mongorestore": restore, "mongosh": shell}[name]
	if !known {
		fmt.Fprintf(os.Stderr, "%s is not mongodump, mongorestore or mongosh\n", name)
		os.Exit(2)
	}
	given, err := parse(name, os.Args[1:])
	if err == nil {
		err = run(given)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s\tFailed: %s\n", time.Now().UTC().Format(time.RFC3339), err)
		os.Exit(1)
	}
}

// archive is an option that may stand alone (then it is standard input or output) or name a file.
type archive struct {
	given bool
	file  string
}

func (a *archive) String() string   { return a.file }
func (a *archive) IsBoolFlag() bool { return true }
func (a *archive) Set(value string) error {
	a.given = true
	if value != "true" {
		a.file = value
	}
	return nil
}

// texts is an option that can be given several times.
type texts []string

func (t *texts) String() string         { return strings.Join(*t, ",") }
func (t *texts) Set(value string) error { *t = append(*t, value); return nil }

type arguments struct {
	uri, host, port, username, password, authDB, db, collection, ca, pem, eval string
	tls, gzip, drop, quiet, dryRun                                             bool
	archive                                                                    archive
	include, exclude                                                           texts
}

func parse(name string, argv []string) (*arguments, error) {
	given := &arguments{}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	var ignored bool
	var ignoredText, config string
	text := func(where *string, names ...string) {
		for _, option := range names {
			flags.StringVar(where, option, *where, "")
		}
	}
	yes := func(where *bool, names ...string) {
		for _, option := range names {
			flags.BoolVar(where, option, false, "")
		}
	}
	text(&given.uri, "uri")
	text(&given.host, "host", "h")
	text(&given.port, "port")
	text(&given.username, "username", "u")
	text(&given.authDB, "authenticationDatabase")
	text(&ignoredText, "authenticationMechanism", "readPreference")
	yes(&given.quiet, "quiet")
	if name == "mongosh" {
		text(&given.eval, "eval")
		yes(&given.tls, "tls")
		text(&given.ca, "tlsCAFile")
		text(&given.pem, "tlsCertificateKeyFile")
		yes(&ignored, "norc")
	} else {
		text(&config, "config")
		text(&given.db, "db", "d")
		text(&given.collection, "collection", "c")
		yes(&given.tls, "ssl")
		text(&given.ca, "sslCAFile")
		text(&given.pem, "sslPEMKeyFile")
		yes(&given.gzip, "gzip")
		flags.Var(&given.archive, "archive", "")
		text(&ignoredText, "numParallelCollections", "j", "numInsertionWorkersPerCollection", "batchSize")
		if name == "mongorestore" {
			yes(&given.drop, "drop")
			yes(&given.dryRun, "dryRun")
			yes(&ignored, "stopOnError", "maintainInsertionOrder", "objcheck")
			flags.Var(&given.include, "nsInclude", "")
			flags.Var(&given.exclude, "nsExclude", "")
		}
	}
	for flags.SetOutput(io.Discard); ; argv = flags.Args()[1:] {
		if err := flags.Parse(argv); err != nil {
			return nil, fmt.Errorf("%w (the lab's stand-in knows few options)", err)
		}
		if flags.NArg() == 0 {
			break
		}
		if given.uri != "" {
			return nil, fmt.Errorf("unknown argument %q", flags.Arg(0))
		}
		given.uri = flags.Arg(0) // a connection string may stand anywhere
	}
	if err := hidden(given.uri); err != nil {
		return nil, err
	}
	if config != "" {
		return given, given.configured(config)
	}
	return given, nil
}

// hidden refuses a connection string with a password in it.
func hidden(uri string) error {
	if login, _, found := strings.Cut(strings.TrimPrefix(uri, "mongodb://"), "@"); found && strings.Contains(login, ":") {
		return errors.New("a password in the arguments is refused here: everybody on the host can read those; use --config")
	}
	return nil
}

// configured reads a --config file: lines `password: …` or `uri: …`, in quotes or not.
func (a *arguments) configured(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, line := range strings.Split(string(content), "\n") {
		key, value, found := strings.Cut(line, ":")
		value = strings.Trim(strings.TrimSpace(value), `"'`)
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(strings.TrimSpace(line), "#"):
		case found && strings.TrimSpace(key) == "password":
			a.password = value
		case found && strings.TrimSpace(key) == "uri":
			a.uri = value
		default:
			return fmt.Errorf("%s: only lines `password: …` and `uri: …` are understood", file)
		}
	}
	return nil
}

// connect returns a client that has spoken with the server.
func (a *arguments) connect(ctx context.Context) (*mongo.Client, error) {
	address := a.uri
	if address == "" {
		host, port := a.host, a.port
		if host == "" {
			host = "localhost"
		}
		if port == "" {
			port = "27017"
		}
		if !strings.Contains(host, ":") {
			host += ":" + port
		}
		address = "mongodb://" + host
	}
	asked := options.Client().ApplyURI(address).SetDirect(true).SetServerSelectionTimeout(10 * time.Second)
	if a.username != "" {
		source := a.authDB
		if source == "" {
			source = "admin"
		}
		asked.SetAuth(options.Credential{
			Username: a.username, Password: a.password, PasswordSet: true, AuthSource: source,
			AuthMechanism: "SCRAM-SHA-256",
		})
	}
	if a.tls {
		trusted := &tls.Config{MinVersion: tls.VersionTLS12}
		if a.ca != "" {
			pem, err := os.ReadFile(a.ca)
			if err != nil {
				return nil, err
			}
			trusted.RootCAs = x509.NewCertPool()
			if !trusted.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("%s has no certificate in it", a.ca)
			}
		}
		if a.pem != "" {
			pair, err := tls.LoadX509KeyPair(a.pem, a.pem)
			if err != nil {
				return nil, err
			}
			trusted.Certificates = []tls.Certificate{pair}
		}
		asked.SetTLSConfig(trusted)
	}
	client, err := mongo.Connect(ctx, asked)
	if err != nil {
		return nil, err
	}
	return client, client.Ping(ctx, nil)
}

func (a *arguments) say(format string, values ...any) {
	if !a.quiet {
		fmt.Fprintf(os.Stderr, "%s\t%s\n", time.Now().UTC().Format(time.RFC3339), fmt.Sprintf(format, values...))
	}
}
