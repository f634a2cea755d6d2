package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"os"
)

// security is how the broker is reached: SECURITY in the environment, as JSON. Without it there is none.
type security struct {
	// CA, Certificate and Key are PEM files.
	CA, Certificate, Key string
	// Mechanism is SASL's, with User and Password or a Token.
	Mechanism, User, Password, Token string
}

func readSecurity() (found security) {
	if text := os.Getenv("SECURITY"); text != "" {
		check(json.Unmarshal([]byte(text), &found))
	}
	return found
}

// tls is nil on listeners without it.
func (s security) tls() *tls.Config {
	if s.CA == "" {
		return nil
	}
	text, err := os.ReadFile(s.CA)
	check(err)
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	if !config.RootCAs.AppendCertsFromPEM(text) {
		fail("no certificate in %s", s.CA)
	}
	if s.Certificate != "" {
		own, err := tls.LoadX509KeyPair(s.Certificate, s.Key)
		check(err)
		config.Certificates = []tls.Certificate{own}
	}
	return config
}
